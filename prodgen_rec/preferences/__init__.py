"""Recommenders: from interactions to preference vectors, fold-in and exact top-n lists.

- `Recommender`: fit, recommend, fold in, save and load; the base of the others.
- `ALS`: implicit-feedback matrix factorization, the preference vectors that images are made from.
- `ItemFeatures`: what is known of items besides who took them, for all of these to learn from.
- `Popularity`: the same list for everyone, the baseline and the fallback for cold users.
- `UserSolver`: exact user vectors for given item vectors, and each without one of its pairs.
- `top_n`: exact best items by inner product over a whole catalogue.
"""

from prodgen_rec.preferences.als import ALS
from prodgen_rec.preferences.base import Recommender
from prodgen_rec.preferences.features import ItemFeatures
from prodgen_rec.preferences.popularity import Popularity
from prodgen_rec.preferences.solve import UserSolver
from prodgen_rec.preferences.topk import top_n

__all__ = ["ALS", "ItemFeatures", "Popularity", "Recommender", "UserSolver", "top_n"]
