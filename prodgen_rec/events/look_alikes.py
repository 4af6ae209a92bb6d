"""Ids that differ from another one in nothing that a person could see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WITHOUT_WIDTH: Final = "[\u200b-\u200d\u2060\ufeff]"


@dataclass(frozen=True)
class LookAlikes:
    """Ids of a column that look like another one of it.

    Parameters
    ----------
    n
        How many fewer ids there would be, were those that look alike the same.
    example
        Two of them.
    """

    n: int
    example: tuple[str, str]

    def __str__(self) -> str:
        one, other = map(ascii, self.example)
        return f"{self.n:,} look like another but are not the same, such as {one} and {other}"


def look_alikes(ids: pa.Array) -> LookAlikes | None:
    """Ids that differ by blanks around them, characters without width or Unicode form (NFC) alone.

    Differences of case are none of these: many shops' ids are codes in which case counts. Nearly
    all ids are ASCII without blanks around them, and of these nothing is computed but that.

    Parameters
    ----------
    ids
        Distinct, sorted, int64 or string.

    Returns
    -------
    None if all of them look different.
    """
    if not pa.types.is_string(ids.type):
        return None
    plain = pc.and_(pc.string_is_ascii(ids), pc.equal(pc.ascii_trim_whitespace(ids), ids))
    others = ids.filter(pc.invert(plain))
    looks = _as_seen(others)
    odd = pc.not_equal(looks, others)
    others, looks = others.filter(odd), looks.filter(odd)
    if len(looks) == 0:
        return None  # before all ids are hashed
    like_an_id = pc.is_in(looks, value_set=ids).to_numpy(zero_copy_only=False)
    new_looks = looks.filter(pa.array(~like_an_id)).unique()
    n = len(looks) - len(new_looks)
    if n == 0:
        return None
    if like_an_id.any():
        first = int(np.argmax(like_an_id))
        return LookAlikes(n, (looks[first].as_py(), others[first].as_py()))
    counts = looks.value_counts()
    again = counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0]
    return LookAlikes(n, tuple(others.filter(pc.equal(looks, again))[:2].to_pylist()))


def _as_seen(ids: pa.Array) -> pa.Array:
    shown = pc.replace_substring_regex(ids, _WITHOUT_WIDTH, "")
    return pc.utf8_normalize(pc.utf8_trim_whitespace(shown), form="NFC")
