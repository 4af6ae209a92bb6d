"""What a shop says of a night: items in stock, items that are recalled, what is known of users.

Files are read once, by the process that leads a run. What is kept of them is small and travels to
all others: 8 bytes for each described user, and 2 for each attribute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from prodgen_rec.catalog.tables import read_users
from prodgen_rec.columns import ITEM_ID, USER_ID
from prodgen_rec.errors import InputError
from prodgen_rec.events.reader import header_of
from prodgen_rec.hashing import Hashes, fingerprint, hash_ids
from prodgen_rec.id_files import IdFile
from prodgen_rec.ids import IdMap
from prodgen_rec.personalizer import Personalizer
from prodgen_rec.vocabulary import UNSAID, Codes, Vocabulary

if TYPE_CHECKING:
    from prodgen_rec.nightly.settings import NightlySettings

_NOTHING = np.empty((0, 0), np.int32)


class Reading(NamedTuple):
    """What became of a file.

    Attributes
    ----------
    setting
        Which one named it.
    file
        Its path, as given.
    what
        What it holds.
    n_known, n_unknown
        How much of that the bundle knows, and how much it does not.
    """

    setting: str
    file: str
    what: str
    n_known: int
    n_unknown: int

    def __str__(self) -> str:
        return (
            f"{self.setting}: {self.n_known:,} {self.what} in {self.file}, and {self.n_unknown:,} "
            "of which the bundle knows nothing"
        )


@dataclass(frozen=True, eq=False)
class UserRows:
    """Rows of whole numbers, to be found by user; users are told apart by a hash of 64 bits.

    Attributes
    ----------
    hashes
        uint64 (n,), in order; a user may have several rows.
    numbers
        Integers (n, k).
    """

    hashes: Hashes
    numbers: npt.NDArray[np.integer[Any]]

    @classmethod
    def of(cls, users: pa.Array, numbers: npt.NDArray[np.integer[Any]]) -> Self:
        """Of a user for each row; a row that repeats another one counts once."""
        hashes = hash_ids(users, 0)
        order = np.lexsort((*numbers.T[::-1], hashes))
        hashes, numbers = hashes[order], numbers[order]
        is_new = np.ones(len(order), np.bool_)
        is_new[1:] = (hashes[1:] != hashes[:-1]) | (numbers[1:] != numbers[:-1]).any(axis=1)
        return cls(hashes[is_new], numbers[is_new])

    def find(self, users: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.integer[Any]]]:
        """Place of the owner among some users, (n,), and numbers, (n, k), of each of their rows."""
        wanted = hash_ids(users, 0)
        first, last = (np.searchsorted(self.hashes, wanted, side) for side in ("left", "right"))
        counts = last - first
        owner = np.repeat(np.arange(len(wanted)), counts)
        row = np.arange(len(owner)) + (first - np.cumsum(counts) + counts)[owner]
        return owner, self.numbers[row]


@dataclass(frozen=True)
class Offer:
    """What lists of a night may name, and what is known of users who have no history.

    Two that say the same are equal, whatever else is in their files.

    Attributes
    ----------
    fingerprint
        SHA-256 of what is said, empty where nothing is.
    items
        Raw ids of the items that may be named; all of the fit where None.
    withheld
        Places, among those of the fit, of items that single users do not get.
    attributes
        Codes of what is known of users.
    vocabulary
        What these stand for.
    readings
        What became of each file.
    """

    fingerprint: str = ""
    items: pa.Array | None = field(default=None, compare=False)
    withheld: UserRows | None = field(default=None, compare=False)
    attributes: UserRows | None = field(default=None, compare=False)
    vocabulary: Vocabulary | None = field(default=None, compare=False)
    readings: tuple[Reading, ...] = field(default=(), compare=False)

    @classmethod
    def read(cls, settings: NightlySettings, personalizer: Personalizer) -> Self:
        """What the files of the settings say, as far as a bundle knows of it.

        Raises
        ------
        InputError
            A file is missing, unreadable or empty; the bundle knows nothing of what it holds, or
            has learned nothing of users' attributes; or fewer items are left than are asked for.
        ConfigError
            The table of users lacks an attribute.
        """
        items, columns = personalizer.recommender_.items_, settings.columns
        allowed = np.ones(len(items), np.bool_)
        withheld = attributes = vocabulary = None
        readings = []
        if settings.candidates is not None:
            file = IdFile(settings.candidates, "candidates", "item")
            allowed, found = _mask(file, items, columns)
            readings.append(found)
        if settings.blocked is not None:
            file = IdFile(settings.blocked, "blocked", "item")
            if file.has(_names(USER_ID, columns)):
                withheld, found = _pairs(file, items, columns)
            else:
                blocked, found = _mask(file, items, columns)
                allowed &= ~blocked
            readings.append(found)
        if settings.users is not None:
            vocabulary = _learned(settings.users, personalizer)
            attributes, found = _attributes(settings.users, vocabulary, columns)
            readings.append(found)
        _check_left(allowed, settings)
        return cls(
            _fingerprint(allowed, withheld, attributes),
            None if allowed.all() else items.arrow.filter(pa.array(allowed)),
            withheld,
            attributes,
            vocabulary,
            tuple(readings),
        )

    def blocked(self, users: pa.Array, items: IdMap) -> dict[Any, pa.Array] | None:
        """Raw ids of the items that some users do not get, by user; None where nobody lacks any."""
        if self.withheld is None:
            return None
        owner, places = self.withheld.find(users)
        who, starts = np.unique(owner, return_index=True)
        parts = np.split(places[:, 0], starts[1:])  # a single empty one where there is nobody
        return {
            users[int(user)].as_py(): items.arrow.take(pa.array(part))
            for user, part in zip(who, parts, strict=False)
        }

    def known(self, users: pa.Array) -> Codes:
        """Codes int32 (n_users, n_attributes) of what is known of users, -1 where nothing is."""
        if self.attributes is None:
            return np.empty((len(users), 0), np.int32)
        owner, numbers = self.attributes.find(users)
        codes = np.full((len(users), numbers.shape[1]), UNSAID, np.int32)
        codes[owner] = numbers
        return codes

    def table(self, users: pa.Array, known: Codes) -> pd.DataFrame | None:
        """The same as `Personalizer.recommend` takes it; None where nothing is known of anyone.

        Parameters
        ----------
        users
            Raw ids.
        known
            int32 (n_users, n_attributes), see `known`.
        """
        described = (known != UNSAID).any(axis=1)
        if self.vocabulary is None or not described.any():
            return None
        table = self.vocabulary.decoded(known[described])
        table.insert(0, USER_ID, users.filter(pa.array(described)).to_pylist())
        return table


def _names(ours: str, columns: Mapping[str, str]) -> list[str]:
    """Names that a column of ours may have; one mapping serves all files of a run."""
    return list(dict.fromkeys([columns.get(ours, ours), ours]))


def _mask(
    file: IdFile, items: IdMap, columns: Mapping[str, str]
) -> tuple[npt.NDArray[np.bool_], Reading]:
    """Which items a file names, bool (n_items,)."""
    places = items.find(file.ids(_names(ITEM_ID, columns)).unique())
    mask = np.zeros(len(items), np.bool_)
    mask[places[places >= 0]] = True
    return mask, _reading(file, "items", int(mask.sum()), int((places < 0).sum()), items)


def _pairs(file: IdFile, items: IdMap, columns: Mapping[str, str]) -> tuple[UserRows, Reading]:
    """Items that single users do not get, by their place."""
    users = file.ids(_names(USER_ID, columns), "user")
    places = items.find(file.ids(_names(ITEM_ID, columns)))
    if len(users) != len(places):
        raise InputError(f"blocked: {file.path} was changed while it was being read; run again")
    known = places >= 0
    rows = UserRows.of(users.filter(pa.array(known)), places[known, None].astype(np.int32))
    return rows, _reading(
        file, "pairs of a user and an item", len(rows.hashes), int((~known).sum()), items
    )


def _reading(file: IdFile, what: str, n_known: int, n_unknown: int, items: IdMap) -> Reading:
    if not n_known:
        raise InputError(
            f"{file.option}: the bundle knows none of the items of {file.path}; ids of its own "
            f"look like {items.arrow[0].as_py()!r}"
        )
    return Reading(file.option, str(file.path), what, n_known, n_unknown)


def _check_left(allowed: npt.NDArray[np.bool_], settings: NightlySettings) -> None:
    n_items = settings.recipe.n_items
    if not allowed.all() and allowed.sum() < n_items:
        raise InputError(
            f"candidates, blocked: they leave {allowed.sum()} items for lists of {n_items} "
            "(recipe.n_items); see whether the files are whole, or ask for fewer"
        )


def _learned(file: Path, personalizer: Personalizer) -> Vocabulary:
    """Attributes of users that a bundle has learned of."""
    taste = personalizer.newcomers_
    if taste is None:
        raise InputError(
            f"users: {file} is a table of users' attributes, of which the bundle has learned "
            "nothing; call Personalizer.learn_newcomers with one and save the bundle again, or "
            "leave the setting out"
        )
    return taste.vocabulary


def _attributes(
    file: Path, vocabulary: Vocabulary, columns: Mapping[str, str]
) -> tuple[UserRows, Reading]:
    """Codes of the users of whom a table says something."""
    theirs = columns.get(USER_ID, USER_ID)
    users, table = read_users(file, {USER_ID: theirs} if theirs in header_of(file) else {})
    codes = vocabulary.codes(table, "users")
    said = (codes != UNSAID).any(axis=1)
    if not said.any():
        example = vocabulary.decoded(np.zeros((1, codes.shape[1]), np.int32)).loc[0].to_dict()
        raise InputError(
            f"users: {file} says nothing of its {len(users):,} users that the bundle has learned "
            f"of; it knows such as {example}"
        )
    rows = UserRows.of(users.arrow.filter(pa.array(said)), codes[said].astype(np.int16))
    found = Reading("users", str(file), "users", int(said.sum()), int((~said).sum()))
    return rows, found


def _fingerprint(allowed: npt.NDArray[np.bool_], *rows: UserRows | None) -> str:
    """SHA-256 of what is said; empty where that is nothing."""
    if allowed.all() and not any(rows):
        return ""
    arrays: list[npt.NDArray[Any]] = [allowed]
    for some in rows:
        arrays += [_NOTHING] if some is None else [some.hashes, some.numbers]
    return fingerprint(*(part for array in arrays for part in (f"{array.shape}", array)))
