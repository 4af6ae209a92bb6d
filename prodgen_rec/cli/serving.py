"""``recommend``, ``imagine`` and ``illustrate``: files of lists and pictures from a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prodgen_rec import columns
from prodgen_rec.cli.console import counted, listed
from prodgen_rec.cli.inputs import Inputs
from prodgen_rec.cli.options import Cold, parse_pairs
from prodgen_rec.cli.outputs import check_table, png, write_by_ids
from prodgen_rec.cli.startup import start_tensorflow
from prodgen_rec.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

    from prodgen_rec.interactions import Interactions
    from prodgen_rec.personalizer import Personalizer

_RECOMMEND_CHUNK = 20_000
_IMAGINE_CHUNK = 512


def recommend(
    *,
    bundle: Path,
    events: Path,
    out: Path,
    users: str = "all",
    n: int = 20,
    cold: Cold = Cold.POPULAR,
    inputs: Inputs,
) -> dict[str, Any]:
    """Write the best n items of each user to a Parquet file."""
    check_table(out)
    personalizer, history, user_ids = inputs.open_for_users(bundle, events, users)

    def rows(some: pa.Array) -> pd.DataFrame:
        return personalizer.recommend(some, n, events=history, cold=cold.value)

    with inputs.report.step(f"recommending {n} items to {len(user_ids):,} users"):
        n_rows = write_by_ids(out, user_ids, rows, at_a_time=_RECOMMEND_CHUNK, report=inputs.report)
    return _served(personalizer, history, user_ids, n_rows, out, inputs)


def imagine(
    *,
    bundle: Path,
    events: Path,
    out: Path,
    users: str = "all",
    n: int = 4,
    seed: int = 0,
    guidance: float | None = None,
    likeness: float | None = None,
    conditions: str = "",
    cold: Cold = Cold.POPULAR,
    inputs: Inputs,
) -> dict[str, Any]:
    """Write n pictures of each user to a Parquet file, encoded as PNG."""
    check_table(out)
    wanted = parse_pairs(conditions, "--conditions")
    personalizer, history, user_ids = inputs.open_for_users(bundle, events, users)
    start_tensorflow(inputs.report)

    def rows(some: pa.Array) -> pd.DataFrame:
        made = personalizer.imagine(
            some,
            n,
            events=history,
            seed=seed,
            guidance=guidance,
            likeness=likeness,
            conditions=wanted,
            cold=cold.value,
        )
        return _pictured(made.table, made.images)

    with inputs.report.step(f"imagining {n} pictures for {len(user_ids):,} users"):
        n_rows = write_by_ids(out, user_ids, rows, at_a_time=_IMAGINE_CHUNK, report=inputs.report)
    return _served(personalizer, history, user_ids, n_rows, out, inputs)


def illustrate(
    *,
    bundle: Path,
    out: Path,
    items: str = "missing",
    seed: int = 0,
    guidance: float = 1.0,
    inputs: Inputs,
) -> dict[str, Any]:
    """Write a picture of each item to a Parquet file, encoded as PNG."""
    from prodgen_rec.ids import as_id_array

    check_table(out)
    item_ids = inputs.read_items(items)
    personalizer = inputs.open_bundle(bundle)
    inputs.check_columns_found()
    if item_ids is None:
        item_ids = as_id_array(personalizer.catalog_.without_photo())
    if not len(item_ids):
        raise InputError(
            f"--items: every item of {bundle} has a photo; name items in a file to picture them"
        )
    start_tensorflow(inputs.report)

    def rows(some: pa.Array) -> pd.DataFrame:
        made = personalizer.illustrate(some, seed=seed, guidance=guidance)
        return _pictured(made.table, made.images)

    with inputs.report.step(f"illustrating {len(item_ids):,} items"):
        n_rows = write_by_ids(out, item_ids, rows, at_a_time=_IMAGINE_CHUNK, report=inputs.report)
    return {"out": str(out), "items": len(item_ids), "rows": n_rows}


def _pictured(table: pd.DataFrame, images: npt.NDArray[np.uint8]) -> pd.DataFrame:
    """A table of pictures with these, as PNG, in its third column."""
    table.insert(2, columns.IMAGE, [png(image) for image in images])
    return table


def _served(
    personalizer: Personalizer,
    history: Interactions,
    user_ids: pa.Array,
    n_rows: int,
    out: Path,
    inputs: Inputs,
) -> dict[str, Any]:
    asked = history.for_users(user_ids, allow_unknown=True)
    cold = list(asked.users.take(np.flatnonzero(personalizer.is_cold(asked))))
    if cold:
        inputs.report.say(
            f"  {len(cold):,} of {len(user_ids):,} users have no usable history: {listed(cold)}; "
            "they were served like the average user"
        )
    return {"out": str(out), "users": len(user_ids), "cold_users": counted(cold), "rows": n_rows}
