"""The recommender: what all of them have in common, from filters to files.

A recommender learns from interactions and knows how to score every item for any history.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy.sparse import csr_array

from prodgen_rec import columns
from prodgen_rec.errors import InputError, NotFittedError, UnknownIdError
from prodgen_rec.ids import IdMap, as_id_array
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences.features import ItemFeatures
from prodgen_rec.preferences.filters import Blocked, Filters, Quota, checked_count
from prodgen_rec.preferences.quota import best_within_quota
from prodgen_rec.preferences.space import Space
from prodgen_rec.preferences.store import load_state, save_state


class Recommender(ABC):
    """Base of every recommender.

    A subclass is a dataclass whose fields are its hyper-parameters, plain JSON values. It
    must pass `prodgen_rec.testing.check_recommender`, and its name must be unique: `load` finds it
    by name. Two families share this base: those with vectors (`VectorRecommender`), and those with
    weights between items (`ItemRecommender`).

    Attributes
    ----------
    interactions_ : Interactions
        What was fitted.
    """

    interactions_: Interactions

    @property
    def weighs_evidence(self) -> bool:
        """Whether the size of net evidence counts, and not only if it is positive."""
        return True

    @classmethod
    def search_space(cls, evidence: csr_array) -> Space:
        """Values of hyper-parameters that are worth a try on net evidence (n_users, n_items)."""
        return {}

    @abstractmethod
    def _learn(self, evidence: csr_array, features: csr_array) -> None:
        """Learn from net evidence (n_users, n_items) and features (n_features, n_items).

        Both are canonical; there may be no features.
        """

    @abstractmethod
    def _best(
        self,
        rows: npt.NDArray[np.int64] | None,
        histories: csr_array,
        n: int,
        filters: Filters,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Index and score of the best n items of users, both (n_users, n), ties by index.

        What comes out for one user depends on that user's row alone, to the last bit.

        Parameters
        ----------
        rows
            Places of the users in the fit; None if their histories are not those of the fit.
        histories
            Net evidence of the users, (n_users, n_items).
        filters
            What a user may not get.
        """

    @abstractmethod
    def _parts(self, history: csr_array, item: int) -> npt.NDArray[np.float64]:
        """What each pair of one history, shape (1, n_items), adds to the score of an item.

        In the order of ``history.data``; the sum is the score.
        """

    @abstractmethod
    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Everything that was learned, as plain arrays."""

    @abstractmethod
    def _set_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what `_arrays` gave.

        Raises
        ------
        KeyError, ValueError
            An array is missing, or does not fit the users and items of ``interactions_``.
        """

    @property
    def users_(self) -> IdMap:
        """Users of the fit."""
        return self._fitted().interactions_.users

    @property
    def items_(self) -> IdMap:
        """Items of the fit."""
        return self._fitted().interactions_.items

    def fit(self, interactions: Interactions, features: ItemFeatures | None = None) -> Self:
        """Learn from all interactions, and return self.

        Parameters
        ----------
        interactions
            What users took.
        features
            What is known of items besides. Items that nobody took are learned by them alone; they
            become items of the fit.

        Raises
        ------
        InputError
            No pair has positive evidence, or what came is no interactions or features.
        """
        check_input(interactions, features)
        if not (interactions.matrix.data > 0).any():
            raise InputError(
                f"none of {interactions.n_pairs} pairs has positive evidence: "
                "there is no preference to learn; check the events and their weights"
            )
        interactions, of_items = on_items_of_both(interactions, features)
        self._learn(interactions.matrix, of_items)
        self.interactions_ = interactions
        return self

    def recommend(
        self,
        users: Iterable[Any] | None,
        n: int,
        *,
        exclude_seen: bool = True,
        candidates: Iterable[Any] | None = None,
        blocked: Blocked | None = None,
        quota: Quota | None = None,
        history: Interactions | None = None,
    ) -> pd.DataFrame:
        """Best n items for each user, exactly, over the whole catalogue.

        Parameters
        ----------
        users
            Raw user ids; None means everyone in ``history``, or else in the fit.
        n
            Items per user, at least 1.
        exclude_seen
            Leave out every item that the user has any record with, returned ones included.
        candidates
            Raw ids of the items that may be recommended. Ids that the model does not know
            cannot be, and are ignored.
        blocked
            Raw ids of items that nobody gets, or a mapping from user id to such ids.
        quota
            At most so many items of a group in each list.
        history
            Takes the place of what was fitted: what users like follows from it, and what it holds
            is what they have seen. For newer histories and for new users.

        Returns
        -------
        Exactly n rows for each user, in the order given, with columns ``user_id``, ``rank``
        (int32 from 1), ``item_id``, ``score`` (float32). Equal scores rank by item id.

        Raises
        ------
        UnknownIdError
            A user is neither in the fit nor in ``history``.
        InputError
            Fewer than n items remain for some user, and the message says why; or what came is no
            history or quota.
        """
        n = checked_count(n, "items")
        check_quota(quota)
        items = self.items_
        record = self._record(history)
        rows = _rows(record.users, users, known_from_fit=history is None)
        seen = record.matrix[rows]
        asked = record.users.arrow.take(pa.array(rows))
        filters = Filters.of(
            asked,
            items,
            seen=seen if exclude_seen else None,
            candidates=candidates,
            blocked=blocked,
        )
        filters.check(n)

        def best(
            some: npt.NDArray[np.int64], n: int, filters: Filters
        ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
            return self._best(rows[some] if history is None else None, seen[some], n, filters)

        if quota is None:
            index, score = best(np.arange(len(rows)), n, filters)
        else:
            index, score = best_within_quota(best, n, filters, quota.codes(items), quota.most)
        return pd.DataFrame(
            {
                columns.USER_ID: record.users.take(np.repeat(rows, n)),
                columns.RANK: np.tile(np.arange(1, n + 1, dtype=np.int32), len(rows)),
                columns.ITEM_ID: items.take(index),
                columns.SCORE: score.astype(np.float32).ravel(),
            }
        )

    def explain(self, user: Any, item: Any, *, history: Interactions | None = None) -> pd.DataFrame:
        """Why an item has its score for a user: the parts of the user's own items.

        Parameters
        ----------
        user, item
            Raw ids.
        history
            As in `recommend`.

        Returns
        -------
        One row per item of the user's history, the largest part first, equals by id: ``item_id``,
        ``value`` (float32, net evidence) and ``part`` (float64). The parts sum to the score.

        Raises
        ------
        UnknownIdError
            The user or the item is not known.
        InputError
            The score does not come from the user's history.
        """
        items = self.items_
        record = self._record(history)
        rows = _rows(record.users, [user], known_from_fit=history is None)
        (place,) = items.index([item], "item")
        own = record.matrix[rows]
        parts = self._parts(own, int(place))
        order = np.lexsort((own.indices, -parts))
        return pd.DataFrame(
            {
                columns.ITEM_ID: items.take(own.indices[order]),
                columns.VALUE: own.data[order],
                "part": parts[order],
            }
        )

    def save(self, folder: Path | str) -> None:
        """Write everything that was fitted to a folder: JSON, Parquet and plain arrays."""
        save_state(self._fitted(), folder)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote, as whatever subclass of this class it was.

        ``Recommender.load`` loads any recommender whose class has been imported.

        Raises
        ------
        BundleError
            A part is missing or damaged, or the folder holds another kind of recommender.
        """
        return load_state(cls, folder)

    def _record(self, history: Interactions | None) -> Interactions:
        """A history on the items of the fit; None stands for what was fitted."""
        if history is None:
            return self._fitted().interactions_
        check_interactions(history, "history")
        return history.for_items(self.items_)

    def _fitted(self) -> Self:
        if not hasattr(self, "interactions_"):
            name = type(self).__name__
            raise NotFittedError(f"this {name} has not been fitted; call fit(interactions) first")
        return self


def check_input(interactions: object, features: object) -> None:
    """Refuse what is no interactions, or no features.

    Raises
    ------
    InputError
        Says what came, and what makes the one that was expected.
    """
    check_interactions(interactions, "interactions")
    if not isinstance(features, ItemFeatures | None):
        raise InputError(
            f"features: expected ItemFeatures, got {type(features).__name__}; "
            "ItemFeatures.of_columns makes them of a table"
        )


def check_interactions(interactions: object, what: str) -> None:
    """Refuse what is no interactions.

    Raises
    ------
    InputError
        Says what came, and what makes the one that was expected.
    """
    if not isinstance(interactions, Interactions):
        raise InputError(
            f"{what}: expected Interactions, got {type(interactions).__name__}; "
            "build_interactions makes them of events"
        )


def check_quota(quota: object) -> None:
    """Refuse what is no quota.

    Raises
    ------
    InputError
        Says what came, and how one is made.
    """
    if not isinstance(quota, Quota | None):
        raise InputError(
            f"quota: expected Quota, got {type(quota).__name__}; pass Quota(groups, most)"
        )


def on_items_of_both(
    interactions: Interactions, features: ItemFeatures | None
) -> tuple[Interactions, csr_array]:
    """Interactions on their items and those of features, and the features' matrix on the same."""
    if features is None:
        features = ItemFeatures.none(interactions.items)
    elif features.items != interactions.items:
        both = interactions.items.union(features.items, what="item")
        interactions = interactions.for_items(both)
    return interactions, features.for_items(interactions.items)


def _rows(
    known: IdMap, users: Iterable[Any] | None, *, known_from_fit: bool
) -> npt.NDArray[np.int64]:
    if users is None:
        return np.arange(len(known))
    try:
        return known.index(as_id_array(users, "users"), "user")
    except UnknownIdError as error:
        remedy = (
            "pass their interactions as history= to recommend to users who were not in the fit"
            if known_from_fit
            else "history= takes the place of what was fitted, so it must hold every user asked for"
        )
        raise UnknownIdError(f"{error}; {remedy}") from None
