"""The offline evaluation of a personalizer on a held-out log, lists and pictures together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prodgen_rec.columns import USER_ID
from prodgen_rec.errors import InputError
from prodgen_rec.evaluation.bootstrap import Difference
from prodgen_rec.evaluation.held_out import drawn_users, new_pairs, pairs_table
from prodgen_rec.evaluation.judge import Judge, judge_items
from prodgen_rec.evaluation.personalization import MatchAUC, brackets, match_auc, match_table
from prodgen_rec.evaluation.ranking import RankingReport, compare, evaluate_ranking
from prodgen_rec.interactions import Interactions
from prodgen_rec.personalizer import Imagined, Personalizer
from prodgen_rec.preferences import Popularity

_N_LISTED = 20
_KS = (10, 20)


@dataclass(frozen=True, eq=False)
class RankingEvaluation:
    """Recommended lists beside popularity.

    Attributes
    ----------
    personalized, popular
        Reports over the same users.
    difference
        Paired differences, personalized minus popular, by ``metric@k``.
    recommendations
        The personalized lists, ``user_id, rank, item_id, score``.
    n_new_users
        Users of the hold-out who are left out because they have no usable history.
    """

    personalized: RankingReport
    popular: RankingReport
    difference: dict[str, Difference]
    recommendations: pd.DataFrame
    n_new_users: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "personalized": self.personalized.to_dict(),
            "popular": self.popular.to_dict(),
            "difference": {name: vars(one) for name, one in self.difference.items()},
            "n_new_users": self.n_new_users,
        }


def evaluate_lists(
    personalizer: Personalizer, history: Interactions, holdout: Interactions, *, seed: int = 0
) -> RankingEvaluation:
    """Rank the full catalogue for every user of the hold-out with a usable history.

    A held-out item counts where its net evidence is positive and the user's history does not
    hold it already, since lists show nothing twice.

    Raises
    ------
    InputError
        No user has both a history and something new in the hold-out.
    """
    relevant = new_pairs(history, holdout)
    known, n_new_users = _with_history(personalizer, history, relevant)
    relevant = relevant[relevant[USER_ID].isin(known.users.ids)]
    lists = personalizer.recommend(None, _N_LISTED, events=known)
    popularity = Popularity().fit(personalizer.recommender_.interactions_)
    popular = popularity.recommend(None, _N_LISTED, history=known)
    n_items = len(personalizer.recommender_.items_)
    ours, theirs = (
        evaluate_ranking(table, relevant, k=_KS, n_items=n_items, seed=seed)
        for table in (lists, popular)
    )
    metrics = [f"{metric}@{k}" for metric in ("recall", "ndcg") for k in _KS]
    difference = {metric: compare(ours, theirs, metric, seed=seed) for metric in metrics}
    return RankingEvaluation(ours, theirs, difference, lists, n_new_users)


@dataclass(frozen=True, eq=False)
class PictureEvaluation:
    """Imagined pictures beside real ones.

    Attributes
    ----------
    made
        The pictures that were judged.
    figures
        Match AUC of the imagined pictures and of real ones, under the same judge and for the
        same users.
    guidance
        With which the pictures were made.
    """

    made: Imagined
    figures: dict[str, MatchAUC]
    guidance: float

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "n_users": int(self.made.table[USER_ID].nunique()),
            "guidance": self.guidance,
            "match_auc": match_table(self.figures).to_dict("records"),
        }


def evaluate_pictures(
    personalizer: Personalizer,
    history: Interactions,
    holdout: Interactions,
    lists: pd.DataFrame,
    judge: Judge,
    *,
    n: int = 4,
    max_users: int = 2000,
    seed: int = 0,
    guidance: float | None = None,
) -> PictureEvaluation:
    """Make n pictures for users of the hold-out and judge whether they match their users.

    Parameters
    ----------
    lists
        Recommendations of `evaluate_lists`.
    judge
        Must not be part of any loss.
    max_users
        Users to judge, drawn by the seed.
    """
    scale = personalizer.config.imagery.guidance if guidance is None else guidance
    relevant = new_pairs(history, holdout)
    users = drawn_users(lists[USER_ID].unique(), max_users, seed)
    asked = history.for_users(users)
    made = personalizer.imagine(None, n, events=asked, seed=seed, guidance=scale)
    items = judge_items(judge, personalizer.catalog_)
    features = judge.features(made.images)
    relevant = relevant[relevant[USER_ID].isin(users)]
    figures = {
        f"imagined, {n} pictures": match_auc(
            made.table[USER_ID].to_numpy(), features, relevant, items, seed=seed
        ),
        **brackets(
            items,
            relevant,
            pairs_table(asked),
            lists[lists[USER_ID].isin(users)],
            seed=seed,
        ),
    }
    return PictureEvaluation(made, figures, scale)


def _with_history(
    personalizer: Personalizer, history: Interactions, relevant: pd.DataFrame
) -> tuple[Interactions, int]:
    users = relevant[USER_ID].unique()
    asked = history.for_users(users, allow_unknown=True)
    warm = ~personalizer.is_cold(asked)
    if not warm.any():
        raise InputError(
            f"none of the {len(users)} users of the hold-out has a usable history; check that "
            "user ids are written the same way in both logs"
        )
    return history.for_users(asked.users.take(np.flatnonzero(warm))), int((~warm).sum())
