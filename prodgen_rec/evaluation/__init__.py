"""Judges of lists and pictures, each figure with its interval.

`ranking` judges recommended lists by their hits, `variety` by what else they are worth;
`bootstrap` gives the intervals and the paired test; `report` says in words, tables
and pictures what was found of an image model.
"""

from prodgen_rec.evaluation.bootstrap import (
    Difference,
    Interval,
    mean_interval,
    paired_difference,
)
from prodgen_rec.evaluation.ranking import RankingReport, compare, evaluate_ranking
from prodgen_rec.evaluation.variety import Variety, evaluate_variety

__all__ = [
    "Difference",
    "Interval",
    "RankingReport",
    "Variety",
    "compare",
    "evaluate_ranking",
    "evaluate_variety",
    "mean_interval",
    "paired_difference",
]
