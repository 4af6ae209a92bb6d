"""Contract checks that every recommender, of this library or not, must pass."""

from prodgen_rec.testing.recommenders import check_recommender

__all__ = ["check_recommender"]
