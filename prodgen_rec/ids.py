"""Raw ids and their dense indices.

Raw ids, int64 or str, go into the library and come out of it. Dense indices
(0 … n-1) are used inside a module and never leave it. One rule decides which
of the two kinds a column of ids is, and how columns of different kinds meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prodgen_rec.errors import InputError, UnknownIdError

IdArray = npt.NDArray[Any]
"""Raw ids, shape (n,): dtype int64, or object holding str."""

_CANONICAL_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"


def as_id_array(ids: Iterable[Any] | pa.Array | pa.ChunkedArray, what: str = "ids") -> pa.Array:
    """Ids as an Arrow array of int64 or string.

    Parameters
    ----------
    ids
        Raw ids, all int or all str, without nulls.
    what
        Name used in error messages.

    Raises
    ------
    InputError
        The ids mix int and str, hold a null, are of another type, or no UTF-8.
    """
    array = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else _to_arrow(ids, what)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_integer(array.type):
        array = array.cast(pa.int64())
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = array.cast(pa.string())
    elif len(array) == 0:
        array = pa.array([], pa.string())
    else:
        raise InputError(f"{what}: ids must be int or str, these are {array.type}")
    if array.null_count:
        raise InputError(
            f"{what}: {array.null_count} of {len(array)} ids are null; drop them first"
        )
    return array


def _to_arrow(ids: Iterable[Any], what: str) -> pa.Array:
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise InputError(f"{what}: expected several ids, got {ids!r}; pass [{ids!r}]")
    try:
        return pa.array(ids if isinstance(ids, np.ndarray | Sequence) else list(ids))
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        kinds = sorted({type(value).__name__ for value in ids})
        raise InputError(
            f"{what}: ids mix {' and '.join(kinds)}; they must all be int or all be str, "
            "for example with .astype(str)"
        ) from None
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what}: {error.object!r:.100} is no text that UTF-8 can hold; pass ids in UTF-8"
        ) from None


def infer_integers(ids: pa.Array) -> pa.Array:
    """Turn text ids into int64 when every one of them is a canonical integer.

    ``"17"`` becomes 17; one ``"017"`` or ``"A17"`` among them and all stay text, so
    that nothing is lost. Used for formats without types, such as CSV.
    """
    if not pa.types.is_string(ids.type) or len(ids) == 0:
        return ids
    return ids.cast(pa.int64()) if _all_canonical(ids) else ids


def _all_canonical(ids: pa.Array) -> bool:
    return bool(pc.all(pc.match_substring_regex(ids, _CANONICAL_INTEGER)).as_py())


def like(ids: pa.Array, reference: pa.Array) -> pa.Array:
    """Bring ids to the kind (int64 or str) of a reference, without loss.

    Integers become their decimal text. Text becomes an integer where it is the
    canonical form of one, and null elsewhere: it cannot equal an integer id.
    """
    if ids.type == reference.type:
        return ids
    if pa.types.is_string(reference.type):
        return ids.cast(pa.string())
    canonical = pc.match_substring_regex(ids, _CANONICAL_INTEGER)
    return pc.if_else(canonical, ids, None).cast(pa.int64())


@dataclass(frozen=True, eq=False)
class IdMap:
    """A bijection between raw ids and dense indices 0 … n-1.

    Parameters
    ----------
    arrow
        Distinct raw ids in index order, Arrow int64 or string, without nulls.

    Raises
    ------
    InputError
        What came is no such array. That the ids are distinct is looked at where a matrix comes
        with them; see `first_repeated`.
    """

    arrow: pa.Array

    def __post_init__(self) -> None:
        ids: object = self.arrow  # whatever came
        if not isinstance(ids, pa.Array):
            came = type(ids).__name__
        elif ids.type not in (pa.int64(), pa.string()) or ids.null_count:
            came = f"{ids.type} with {ids.null_count} nulls"
        else:
            return
        raise InputError(
            f"IdMap: expected an Arrow array of int64 or string without nulls, got {came}; "
            "IdMap(as_id_array(ids)) makes one in this order, IdMap.of(ids) sorts them"
        )

    @classmethod
    def of(cls, ids: Iterable[Any] | pa.Array | pa.ChunkedArray, what: str = "ids") -> IdMap:
        """Map of the distinct ids, sorted, so that it does not depend on their order."""
        distinct = as_id_array(ids, what).unique()
        return cls(distinct.take(pc.array_sort_indices(distinct)))

    def union(self, *others: IdMap, what: str = "id") -> IdMap:
        """Map of the ids of this one and of others, sorted; those of others come to its kind.

        Raises
        ------
        InputError
            These ids are int, and one of the others is text that is no integer.
        """
        arrays = [self.arrow, *(like(other.arrow, self.arrow) for other in others)]
        for other, array in zip(others, arrays[1:], strict=True):
            if array.null_count:
                first = other.arrow.filter(array.is_null())[0].as_py()
                raise InputError(
                    f"{array.null_count} {what}s are text, the first is {first!r}, where the "
                    f"{len(self)} known ones are int; make all of them text, with .astype(str)"
                )
        return IdMap.of(pa.concat_arrays(arrays))

    @property
    def ids(self) -> IdArray:
        """Raw ids in index order, shape (n,), int64 or object holding str."""
        return np.asarray(self.arrow.to_numpy(zero_copy_only=False))

    @cached_property
    def first_repeated(self) -> int | str | None:
        """The first id that is there more than once, None where all are distinct."""
        if len(self.arrow.unique()) == len(self.arrow):
            return None
        counts = self.arrow.value_counts()
        again = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        repeated: int | str = again[0].as_py()
        return repeated

    def __len__(self) -> int:
        return len(self.arrow)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and self.arrow.equals(other.arrow)

    def __contains__(self, raw_id: object) -> bool:
        return bool(self.find([raw_id])[0] >= 0)

    def find(self, ids: Iterable[Any] | pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Dense index of each raw id, shape (n,), -1 where the id is not known."""
        wanted = like(as_id_array(ids), self.arrow)
        found = pc.index_in(wanted, value_set=self.arrow, skip_nulls=True).fill_null(-1)
        return np.asarray(found.cast(pa.int64()).to_numpy(zero_copy_only=False))

    def index(self, ids: Iterable[Any] | pa.Array, what: str = "id") -> npt.NDArray[np.int64]:
        """Dense index of each raw id, shape (n,); unknown ids are an error.

        Raises
        ------
        UnknownIdError
            Names how many ids are unknown and the first of them.
        """
        raw = as_id_array(ids, what)
        found = self.find(raw)
        if (found < 0).any():
            first = raw[int(np.argmax(found < 0))].as_py()
            example = f", for example {self.arrow[0].as_py()!r}" if len(self) else ""
            raise UnknownIdError(
                f"{int((found < 0).sum())} of {len(raw)} {what}s are unknown, "
                f"the first is {first!r}; known are {len(self)}{example}"
            )
        return found

    def take(self, indices: npt.NDArray[np.integer[Any]]) -> IdArray:
        """Raw ids at dense indices, shape of ``indices`` flattened."""
        taken = self.arrow.take(pa.array(np.asarray(indices).ravel()))
        return np.asarray(taken.to_numpy(zero_copy_only=False))
