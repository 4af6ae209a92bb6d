"""What a bundle serves: lists and pictures as files, and why an item has its score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prodgen_rec import columns
from prodgen_rec.cli.console import counted, listed
from prodgen_rec.cli.inputs import Inputs
from prodgen_rec.cli.options import Cold, parse_pairs, parse_quota
from prodgen_rec.cli.outputs import check_table, png, write_by_ids
from prodgen_rec.cli.startup import start_tensorflow
from prodgen_rec.errors import ConfigError, InputError, UnknownIdError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

    from prodgen_rec.catalog import Catalog
    from prodgen_rec.ids import IdMap
    from prodgen_rec.interactions import Interactions
    from prodgen_rec.personalizer import Personalizer
    from prodgen_rec.preferences import Quota

_RECOMMEND_CHUNK = 20_000
_IMAGINE_CHUNK = 512


def recommend(
    *,
    bundle: Path,
    events: Path,
    out: Path,
    users: str = "all",
    n: int = 20,
    quota: str = "",
    cold: Cold = Cold.POPULAR,
    inputs: Inputs,
) -> dict[str, Any]:
    """Write the best n items of each user to a Parquet file."""
    check_table(out)
    most = parse_quota(quota)
    personalizer, history, user_ids = inputs.open_for_users(bundle, events, users)
    limit = None if most is None else _limit(personalizer.catalog_, *most)

    def rows(some: pa.Array) -> pd.DataFrame:
        return personalizer.recommend(some, n, events=history, quota=limit, cold=cold.value)

    with inputs.report.step(f"recommending {n} items to {len(user_ids):,} users"):
        n_rows = write_by_ids(out, user_ids, rows, at_a_time=_RECOMMEND_CHUNK, report=inputs.report)
    return _served(personalizer, history, user_ids, n_rows, out, inputs)


def explain(
    *, bundle: Path, events: Path, user: str, item: str, inputs: Inputs
) -> tuple[dict[str, Any], str]:
    """What a user's own items add to the score of an item, for scripts and as a table."""
    personalizer = inputs.open_bundle(bundle)
    history = inputs.read_history(events, personalizer)
    inputs.check_columns_found()
    user_id = _known(user, history.users, "--user", str(events))
    item_id = _known(item, personalizer.recommender_.items_, "--item", "the log of the fit")
    if personalizer.is_cold(history.for_users([user_id])).any():
        raise InputError(
            f"--user: {user} has no usable history, no positive event on an item that the fit "
            "knew: such users are served like the average user, which no items of theirs explain"
        )
    parts = personalizer.recommender_.explain(user_id, item_id, history=history)
    score = float(parts["part"].sum())
    told = parts.to_string(
        index=False, formatters={columns.VALUE: "{:g}".format, "part": "{:.4f}".format}
    )
    found = {"user_id": user_id, "item_id": item_id, "score": score}
    return (
        found | {"parts": parts.to_dict("records")},
        f"{user} and {item}: score {score:.4f}, the sum of the parts of {len(parts)} items\n{told}",
    )


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


def _known(text: str, ids: IdMap, option: str, place: str) -> Any:
    """An id as it stands among others, an integer or text."""
    (found,) = ids.find([text])
    if found < 0:
        raise UnknownIdError(
            f"{option}: {place} holds no {text!r} among its {len(ids):,} {option.lstrip('-')}s, "
            f"the first of which is {ids.arrow[0].as_py()!r}"
        )
    return ids.arrow[int(found)].as_py()


def _limit(catalog: Catalog, column: str, most: int) -> Quota:
    """At most so many items that have the same in a column of the item table."""
    from prodgen_rec.preferences import Quota

    table = catalog.attributes
    if column not in table:
        known = ", ".join(map(str, table.columns)) or "none"
        raise ConfigError(
            f"--quota: the item table of the bundle has no column {column!r}; it has {known}"
        )
    return Quota(dict(zip(catalog.items.ids, table[column], strict=True)), most)


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
