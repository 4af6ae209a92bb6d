"""Judges of lists and pictures, each figure with its interval.

`ranking` judges recommended lists; `bootstrap` gives the intervals and the paired test;
`report` says in words, tables and pictures what was found of an image model.
"""

from prodgen_rec.evaluation.bootstrap import (
    Difference,
    Interval,
    mean_interval,
    paired_difference,
)
from prodgen_rec.evaluation.ranking import RankingReport, compare, evaluate_ranking

__all__ = [
    "Difference",
    "Interval",
    "RankingReport",
    "compare",
    "evaluate_ranking",
    "mean_interval",
    "paired_difference",
]
