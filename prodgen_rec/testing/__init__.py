"""Contract checks that every recommender and image model, of this library or not, must pass."""

from prodgen_rec.testing.images import check_image_model
from prodgen_rec.testing.recommenders import check_recommender

__all__ = ["check_image_model", "check_recommender"]
