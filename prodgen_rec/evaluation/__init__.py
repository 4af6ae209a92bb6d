"""Judges of lists and pictures, each figure with its interval.

`ranking` judges recommended lists by their hits, `variety` by what else they are worth;
`drift` compares a refit with the fit before it;
`bootstrap` gives the intervals and the paired test; `report` says in words, tables
and pictures what was found of an image model.
"""

from prodgen_rec.evaluation.bootstrap import (
    Difference,
    Interval,
    mean_interval,
    paired_difference,
)
from prodgen_rec.evaluation.drift import Drift, evaluate_drift
from prodgen_rec.evaluation.ranking import RankingReport, compare, evaluate_ranking
from prodgen_rec.evaluation.variety import Variety, evaluate_variety

__all__ = [
    "Difference",
    "Drift",
    "Interval",
    "RankingReport",
    "Variety",
    "compare",
    "evaluate_drift",
    "evaluate_ranking",
    "evaluate_variety",
    "mean_interval",
    "paired_difference",
]
