"""Recommenders: from interactions to preference vectors, fold-in and exact top-n lists.

- `Recommender`: fit, recommend, save and load; the base of all.
- `VectorRecommender`: those with vectors of users and items, and fold-in; the base of the next.
- `ALS`: implicit-feedback matrix factorization, the preference vectors that images are made from.
- `LinearRecommender`: those whose items each add a vector to their user's; the base of the next.
- `BPR`: Bayesian personalized ranking, items that were learned from comparisons.
- `GraphFilter`: vectors in closed form, a low-pass filter on the graph of users and items.
- `Popularity`: the same list for everyone, the baseline and the fallback for cold users.
- `ItemRecommender`: those with weights between items instead; the base of the next.
- `EASE`: the linear autoencoder in closed form.
- `ItemKNN`: nearest neighbors among items.
- `ItemFeatures`: what is known of items besides who took them, for all of these to learn from.
- `NewcomerTaste`: vectors of users without a history, from what is known of them.
- `Quota`: at most so many items of a group in a list.
- `align`: the vectors of a new fit, turned to where those of an old one are.
- `UserSolver`: exact user vectors for given item vectors, and each without one of its pairs.
- `top_n`: exact best items by inner product over a whole catalogue.
"""

from prodgen_rec.preferences.alignment import align
from prodgen_rec.preferences.als import ALS
from prodgen_rec.preferences.base import Recommender
from prodgen_rec.preferences.bpr import BPR
from prodgen_rec.preferences.features import ItemFeatures
from prodgen_rec.preferences.filters import Quota
from prodgen_rec.preferences.graph_filter import GraphFilter
from prodgen_rec.preferences.item_based import EASE, ItemKNN, ItemRecommender
from prodgen_rec.preferences.linear import LinearRecommender
from prodgen_rec.preferences.newcomers import NewcomerTaste
from prodgen_rec.preferences.popularity import Popularity
from prodgen_rec.preferences.solve import UserSolver
from prodgen_rec.preferences.topk import top_n
from prodgen_rec.preferences.vectors import VectorRecommender

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "GraphFilter",
    "ItemFeatures",
    "ItemKNN",
    "ItemRecommender",
    "LinearRecommender",
    "NewcomerTaste",
    "Popularity",
    "Quota",
    "Recommender",
    "UserSolver",
    "VectorRecommender",
    "align",
    "top_n",
]
