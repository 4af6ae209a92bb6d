"""Rows of a part: from events of its users to lists, pictures and their bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_array

from prodgen_rec import columns
from prodgen_rec.events import Events
from prodgen_rec.events.timestamps import microseconds
from prodgen_rec.ids import as_id_array
from prodgen_rec.interactions import Interactions, build_interactions
from prodgen_rec.nightly import quality
from prodgen_rec.nightly.offer import Offer
from prodgen_rec.nightly.recipe import Recipe
from prodgen_rec.nightly.sharing import Sharing
from prodgen_rec.personalizer import Personalizer
from prodgen_rec.personalizer.personalizer import Cold
from prodgen_rec.preferences.filters import Filters
from prodgen_rec.vocabulary import UNSAID, Codes

COLD = "no usable history"
"""Reason to refuse a user, where the recipe says so."""
TOO_FEW = "fewer items left than asked for"
"""Reason to refuse a user who has seen almost all that is offered."""

_USERS_AT_ONCE = 512
"""Users that a thread serves before it takes the next ones, about: few, so that all threads end
together, and enough that what is done once for all of them costs little."""
_MOST_KEPT = 4096
"""Sitters whose pictures are kept for the next users who share them."""

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MadePart:
    """What is to be written for a part.

    Attributes
    ----------
    table
        Rows, in the order of user ids and ranks; see `Maker`.
    n_in
        Users that were due.
    refused
        How many of them have no rows, by reason.
    figures
        Of the quality of the rows, see `quality`.
    """

    table: pa.Table
    n_in: int
    refused: dict[str, int]
    figures: quality.Figures


@dataclass(frozen=True)
class PendingPart:
    """A part that threads are working on."""

    n_in: int
    refused: dict[str, int]
    blocks: Sequence[Future[tuple[pa.Table, quality.Figures]]]

    def made(self) -> MadePart:
        """Wait for its rows."""
        done = [block.result() for block in self.blocks]
        table = pa.concat_tables([rows for rows, _ in done])
        figures = quality.added(figures for _, figures in done)
        return MadePart(table, self.n_in, self.refused, figures)


class _Pictures(NamedTuple):
    """Encoded pictures of a sitter, and what is known of each."""

    bytes: pa.Array
    looks_like: pa.Array
    similarity: pa.Array
    is_flat: pa.Array
    is_clipped: pa.Array

    def slice(self, start: int, n: int) -> _Pictures:
        """Some of them."""
        return _Pictures(*(one.slice(start, n) for one in self))

    @classmethod
    def joined(cls, some: Sequence[_Pictures]) -> _Pictures:
        """Those of several, one after the other."""
        return cls(*(pa.concat_arrays(arrays) for arrays in zip(*some, strict=True)))


@dataclass(frozen=True, eq=False)
class Maker:
    """Serves users: a row for each of their ranks.

    ``user_id``; ``rank``, int32 from 1; ``item_id`` and ``score``, the recommended item of this
    rank; ``image``, encoded bytes, ``looks_like``, the real item that it is nearest to, and
    ``similarity`` to that, the picture of this rank; ``is_cold``, whether the user has no usable
    history: then scores are numbers of users, but for users of whom the offer knows something,
    who have a preference by that and are cold all the same; ``seed``. With more items than
    pictures, or fewer, the last ranks have nulls.

    The offer says what ``item_id`` may be. Pictures show tastes: what they look like may be an
    item that is not offered.

    Parameters
    ----------
    personalizer
        Fitted.
    recipe
        How users are served.
    reference_time
        From which ages of events count.
    offer
        What lists may name, and what is known of users.
    sharing
        Who shares pictures.
    encode
        Turns pictures into an Arrow array of bytes.
    """

    personalizer: Personalizer
    recipe: Recipe
    reference_time: datetime
    offer: Offer
    sharing: Sharing
    encode: Callable[[Images], pa.Array]
    _kept: dict[str, _Pictures] = field(default_factory=dict)

    def warm_up(self) -> None:
        """Serve a user of the fit: what is compiled or made ready at first use is so afterwards."""
        fitted = self.personalizer.recommender_.interactions_
        served, _ = self._split(fitted.for_users(fitted.users.arrow[:_USERS_AT_ONCE]))
        self.rows(served.for_users(served.users.arrow[:1]))

    def begin(self, events: Events, pool: Executor) -> PendingPart:
        """Give the work on the users of some events to threads."""
        due = self.histories(events)
        served, refused = self._split(due)
        users = served.users.arrow
        n_blocks = max(1, round(len(users) / _USERS_AT_ONCE))
        edges = [len(users) * i // n_blocks for i in range(n_blocks + 1)]
        blocks = [
            pool.submit(self.rows, served.for_users(users[start:end]))
            for start, end in pairwise(edges)
        ]
        return PendingPart(due.n_users, refused, blocks)

    def histories(self, events: Events) -> Interactions:
        """Histories of the users who are due, in the order of ids, on the items of the fit."""
        items, config = self.personalizer.recommender_.items_, self.personalizer.config
        if len(events) == 0:
            users, _ = events.indexed(columns.USER_ID)
            return Interactions(users, items, csr_array((0, len(items)), dtype=np.float32))
        history = build_interactions(
            events,
            event_weights=config.event_weights,
            half_life_days=config.half_life_days,
            reference_time=self.reference_time,
        ).for_items(items)
        if self.recipe.since is None:
            return history
        users, place = events.indexed(columns.USER_ID)
        recent = events.numbers(columns.TIMESTAMP) >= microseconds(self.recipe.since)
        is_due = np.zeros(len(users), np.bool_)
        is_due[place[recent]] = True
        return history.for_users(users.arrow.filter(pa.array(is_due)))

    def rows(self, history: Interactions) -> tuple[pa.Table, quality.Figures]:
        """Rows of users, and figures of them."""
        recipe, n_users = self.recipe, history.n_users
        is_cold = self.personalizer.is_cold(history)
        known = self._known(history, is_cold)
        lists = self.personalizer.recommend(
            None,
            recipe.n_items,
            events=history,
            candidates=self.offer.items,
            blocked=self.offer.blocked(history.users.arrow, history.items),
            cold=self._cold(history, known),
        )
        pictures = self._pictures(history, known)
        depth = max(recipe.n_items, recipe.n_pictures)
        row = np.repeat(np.arange(n_users), depth)
        scores = lists[columns.SCORE].to_numpy()

        def per_item(values: pa.Array) -> pa.Array:
            return _ranked(values, n_users, recipe.n_items, depth)

        def per_picture(values: pa.Array) -> pa.Array:
            return _ranked(values, n_users, recipe.n_pictures, depth)

        table = pa.table(
            {
                columns.USER_ID: history.users.arrow.take(
                    pa.array(np.repeat(np.arange(n_users), depth))
                ),
                columns.RANK: pa.array(np.tile(np.arange(1, depth + 1, dtype=np.int32), n_users)),
                columns.ITEM_ID: per_item(as_id_array(lists[columns.ITEM_ID])),
                columns.SCORE: per_item(pa.array(scores)),
                columns.IMAGE: per_picture(pictures.bytes),
                columns.LOOKS_LIKE: per_picture(pictures.looks_like),
                columns.SIMILARITY: per_picture(pictures.similarity),
                columns.IS_COLD: pa.array(is_cold[row]),
                columns.SEED: pa.array(np.full(len(row), recipe.seed, np.int64)),
            }
        )
        figures = {
            "cold": int(is_cold.sum()),
            "pictures": len(pictures.bytes),
            "constant": pc.sum(pictures.is_flat, min_count=0).as_py(),
            "saturated": pc.sum(pictures.is_clipped, min_count=0).as_py(),
            "scores": quality.of_scores(scores[:: recipe.n_items][~is_cold]),
        }
        return table, figures

    def _split(self, due: Interactions) -> tuple[Interactions, dict[str, int]]:
        """Histories of the users who are served, and how many are not, by reason."""
        filters = Filters.of(
            due.users.arrow,
            due.items,
            seen=due.matrix,
            candidates=self.offer.items,
            blocked=self.offer.blocked(due.users.arrow, due.items),
        )
        too_few = filters.left < self.recipe.n_items
        cold = self.personalizer.is_cold(due) & (self.recipe.cold == "refuse")
        cold &= (self._known(due, cold) == UNSAID).all(axis=1)
        served = due.for_users(due.users.arrow.filter(pa.array(~(too_few | cold))))
        return served, {COLD: int((cold & ~too_few).sum()), TOO_FEW: int(too_few.sum())}

    def _known(self, history: Interactions, is_cold: npt.NDArray[np.bool_]) -> Codes:
        """What is known of those users who are cold; -1 for all others."""
        return np.where(is_cold[:, None], self.offer.known(history.users.arrow), np.int32(UNSAID))

    def _cold(self, history: Interactions, known: Codes) -> Cold:
        table = self.offer.table(history.users.arrow, known)
        return "popular" if table is None else table

    def _pictures(self, history: Interactions, known: Codes) -> _Pictures:
        """Pictures of users, one user after the other."""
        if self.recipe.share == "none":
            return self._made(history, known)
        sitters, of_sitters, place = self.sharing(history, known)
        keys = sitters.users.arrow.to_pylist()
        kept = {key: self._kept[key] for key in keys if key in self._kept}
        missing = [key for key in keys if key not in kept]
        if missing:
            rows = sitters.users.find(missing)
            made = self._made(sitters.for_users(missing), of_sitters[rows])
            n = self.recipe.n_pictures
            kept |= {key: made.slice(i * n, n) for i, key in enumerate(missing)}
            if len(self._kept) < _MOST_KEPT:
                self._kept.update(kept)
        return _Pictures.joined([kept[keys[i]] for i in place])

    def _made(self, history: Interactions, known: Codes) -> _Pictures:
        recipe = self.recipe
        made = self.personalizer.imagine(
            None,
            recipe.n_pictures,
            events=history,
            seed=recipe.seed,
            guidance=recipe.guidance,
            diversity=recipe.diversity,
            likeness=recipe.likeness,
            cold=self._cold(history, known),
        )
        return _Pictures(
            self.encode(made.images),
            as_id_array(made.table[columns.ITEM_ID]),
            pa.array(made.table[columns.SIMILARITY].to_numpy()),
            *map(pa.array, quality.of_pictures(made.images)),
        )


def _ranked(values: pa.Array, n_users: int, n: int, depth: int) -> pa.Array:
    """Values of n ranks of each user as those of more ranks, null where there is none."""
    rank = np.tile(np.arange(depth), n_users)
    place = np.repeat(np.arange(n_users) * n, depth) + rank
    return values.take(pa.array(place, mask=rank >= n))
