"""Runs of a few rows, and what must come out of them, for the tests of the nightly delivery."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa

from prodgen_rec.nightly import Delivery, Manifest, PartWriter, Run, Target, part_of
from prodgen_rec.nightly.documents import PartRecord, Published

N_PARTS = 3
_NAMES = [f"user-{number:02d}" for number in range(60)]
USERS = [
    [name for name, part in zip(_NAMES, part_of(_NAMES, N_PARTS), strict=True) if part == index][:4]
    for index in range(N_PARTS)
]
"""Four users of each part, in the order of their ids."""
USER = USERS[1][2]
"""A user of the second part."""


def plan(night: int, **changes: Any) -> dict[str, Any]:
    """What a run is begun with."""
    date = dt.date(2026, 11, night)
    values = {"run_id": str(date), "date": date, "inputs": f"bundle {night}", "n_parts": N_PARTS}
    return values | {"seed": 1, "settings": {"n": 2}, "kernel": "reference"} | changes


@contextmanager
def begun(place: Path | str, night: int, **changes: Any) -> Iterator[Run]:
    """A run that is begun, or gone on with."""
    with Target(place).writer() as writer:
        yield writer.begin(**plan(night, **changes))


def rows(night: int, index: int) -> pa.Table:
    """Rows of a part: two for each of its users."""
    users = [user for user in USERS[index] for _ in range(2)]
    noise = random.Random(f"{night} {index}")  # noqa: S311
    return pa.table(
        {
            "user_id": users,
            "rank": pa.array([1, 2] * len(USERS[index]), pa.int32()),
            "night": [night] * len(users),
            "image": [noise.randbytes(50) for _ in users],
        }
    )


def write(place: Path | str, night: int, *, keep: int = 7, **changes: Any) -> Manifest:
    """Make a run, or what is missing of it, and publish it."""
    with begun(place, night, **changes) as run:
        for index in run.missing:
            run.write_part(index, rows(night, index), **sums(index))
        return run.publish(keep=keep, figures={"mean": 0.1})


def sums(index: int) -> dict[str, Any]:
    """What is said of a part beside its rows."""
    return {"n_in": 5, "refused": {"no history": 1}, "figures": {"mean": index / 4}}


def store(writer: PartWriter, night: int, index: int) -> PartRecord:
    """What a worker does, in a process of its own."""
    return writer.write(index, rows(night, index), **sums(index))


def expected(night: int, without: str | None = None) -> pa.Table:
    """All rows of a night, but those of a user."""
    table = pa.concat_tables(rows(night, index) for index in range(N_PARTS))
    kept = [user != without for user in table["user_id"].to_pylist()]
    return table.filter(pa.array(kept))


def seen(delivery: Delivery, without: str = USER) -> tuple[int, bool]:
    """Which night a delivery is of, and whether it holds a user; it must be whole."""
    table = delivery.table()
    night = table["night"][0].as_py()
    holds = without in table["user_id"].to_pylist()
    assert table.equals(expected(night, None if holds else without)), "a mixture"
    assert delivery.manifest.rows == len(table)
    assert delivery.manifest.counts.n_out == len(table["user_id"].unique())
    return night, holds


def point_at(place: Path, manifest: str) -> None:
    """Publish whatever lies in a file, as somebody would who has read how all is sealed."""
    digest = hashlib.sha256((place / manifest).read_bytes()).hexdigest()
    current = Published.model_validate_json((place / "CURRENT").read_bytes())
    (place / "CURRENT").write_text(current.model_copy(update={"manifest": digest}).text())


def tree(place: Path | str) -> dict[str, bytes]:
    """Every file of a target by its path, but the one that the operating system locks."""
    filesystem, root = fsspec.url_to_fs(str(place))
    files = {name[len(root) + 1 :]: filesystem.cat_file(name) for name in filesystem.find(root)}
    return {name: content for name, content in files.items() if name != ".lock"}
