"""Runs of a few rows, and what must come out of them, for the tests of the nightly delivery."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa

from prodgen_rec.nightly import Delivery, Manifest, Target

N_PARTS = 3
USER = "U-1-2"
"""A user of the second part."""


def plan(night: int, **changes: Any) -> dict[str, Any]:
    """What a run is begun with."""
    date = dt.date(2026, 11, night)
    values = {"run_id": str(date), "date": date, "inputs": f"bundle {night}", "n_parts": N_PARTS}
    return values | {"seed": 1, "settings": {"n": 2}, "kernel": "reference"} | changes


def rows(night: int, index: int, n_users: int = 4) -> pa.Table:
    """Rows of a part: two for each of a few users, in the order of their ids."""
    users = [f"U-{index}-{user}" for user in range(n_users) for _ in range(2)]
    noise = random.Random(f"{night} {index}")  # noqa: S311
    return pa.table(
        {
            "user_id": users,
            "rank": pa.array([1, 2] * n_users, pa.int32()),
            "night": [night] * len(users),
            "image": [noise.randbytes(50) for _ in users],
        }
    )


def write(place: Path | str, night: int, *, keep: int = 7, **changes: Any) -> Manifest:
    """Make a run, or what is missing of it, and publish it."""
    with Target(place).run(**plan(night, **changes)) as run:
        for index in run.missing:
            run.write_part(index, rows(night, index), n_in=5, refused={"no history": 1})
        return run.publish(keep=keep, figures={"mean": 0.1})


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


def tree(place: Path | str) -> dict[str, bytes]:
    """Every file of a target by its path, but the one that the operating system locks."""
    filesystem, root = fsspec.url_to_fs(str(place))
    files = {name[len(root) + 1 :]: filesystem.cat_file(name) for name in filesystem.find(root)}
    return {name: content for name, content in files.items() if name != ".lock"}
