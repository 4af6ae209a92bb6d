"""Read and validate tables that describe items or users, one row for each."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from prodgen_rec.columns import ITEM_ID, PHOTO, USER_ID, how_to_map
from prodgen_rec.errors import CatalogError, InputError
from prodgen_rec.ids import IdMap, as_id_array, infer_integers

_N_EXAMPLES = 3


def read_items(items: Any, columns: Mapping[str, str]) -> tuple[IdMap, pd.DataFrame]:
    """Items sorted by id, and their attributes in the same order.

    Parameters
    ----------
    items
        Path of a CSV (``.csv``, ``.csv.gz``) or Parquet file, a folder of Parquet parts,
        or a pandas, polars or Arrow table.
    columns
        Our column names mapped to the table's.

    Returns
    -------
    tuple
        The item ids, and a frame of n_items rows with every other column. Types are
        those that a Parquet file keeps, whichever way the table came in.

    Raises
    ------
    CatalogError
        The table cannot be read, is empty, lacks a column, or has null or repeated ids.
    InputError
        The ids are neither integers nor text.
    """
    return _read(items, columns, "item")


def read_users(users: Any, columns: Mapping[str, str]) -> tuple[IdMap, pd.DataFrame]:
    """Users sorted by id, and what is known of them in the same order; see `read_items`.

    Raises
    ------
    InputError
        The table cannot be read, is empty, lacks a column, or its ids are null, repeated, or
        neither integers nor text.
    """
    try:
        return _read(users, columns, "user")
    except CatalogError as error:  # which is of items
        raise InputError(str(error)) from error


def _read(described: Any, columns: Mapping[str, str], what: str) -> tuple[IdMap, pd.DataFrame]:
    """Ids, sorted, and all other columns of a table of items or users."""
    id_name = {"item": ITEM_ID, "user": USER_ID}[what]
    is_path = isinstance(described, str | Path)
    source = str(described) if is_path else f"{what} table ({type(described).__name__})"
    table = _as_table(described, columns.get(id_name, id_name), source, what)
    table = _rename(table, {id_name: id_name} | dict(columns), source)
    if table.num_rows == 0:
        raise CatalogError(f"{source}: the table has no rows; at least one {what} is needed")
    ids = _checked_ids(table[id_name], source, what)
    if _is_csv(described):
        ids = infer_integers(ids)
    _refuse_repeated(ids, source, what)
    order = pc.array_sort_indices(ids)
    # Without pandas' own metadata, a table reads the same whichever library wrote it.
    attributes = table.replace_schema_metadata(None).to_pandas().drop(columns=id_name)
    return IdMap(ids.take(order)), attributes.iloc[order.to_numpy()].reset_index(drop=True)


def existing_path(path: str | Path, what: str) -> Path:
    """Path that exists; otherwise a CatalogError that suggests a neighbour of similar name."""
    path = Path(path)
    if path.exists():
        return path
    if path.parent.is_dir():
        near = get_close_matches(path.name, sorted(entry.name for entry in path.parent.iterdir()))
        hint = f"did you mean {path.parent / near[0]}?" if near else "check the name"
    else:
        hint = f"the folder {path.parent} does not exist either"
    raise CatalogError(f"{what}: there is no {path}; {hint}")


def _is_csv(described: Any) -> bool:
    return isinstance(described, str | Path) and str(described).lower().endswith(
        (".csv", ".csv.gz")
    )


def _as_table(described: Any, id_column: str, source: str, what: str) -> pa.Table:
    try:
        if isinstance(described, str | Path):
            return _read_file(existing_path(described, f"{what}s"), id_column, what)
        if isinstance(described, pd.DataFrame):
            return _from_pandas(described)
        if hasattr(described, "__arrow_c_stream__"):  # Arrow and polars tables
            return pa.table(described)
    except CatalogError:
        raise
    # What pandas and Arrow raise for a file or frame that they cannot turn into a table.
    except (ValueError, TypeError, OSError, EOFError, zlib.error, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        remedy = "; save it as UTF-8" if isinstance(error, UnicodeDecodeError) else ""
        raise CatalogError(f"{source}: cannot be read as a table: {reason}{remedy}") from error
    raise CatalogError(
        f"{what}s: expected a path or a pandas, polars or Arrow table, got "
        f"{type(described).__name__}"
    )


def _read_file(path: Path, id_column: str, what: str) -> pa.Table:
    if path.is_dir() and not any(one.is_file() for one in path.rglob("*")):
        raise CatalogError(f"{what}s: there are no files in {path}; expected Parquet files")
    if path.is_dir() or path.suffix.lower() in (".parquet", ".pq"):
        return pq.read_table(path, page_checksum_verification=True)
    if not _is_csv(path):
        raise CatalogError(
            f"{what}s: {path} is none of .csv, .csv.gz and .parquet; convert it first"
        )
    with warnings.catch_warnings():
        # A row with more fields than the header would otherwise be cut short.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(path, index_col=False, low_memory=False)
    if id_column in frame:  # once more, as it is written: "007" and "NA" are ids
        ids = pd.read_csv(path, usecols=[id_column], dtype=str, keep_default_na=False)
        frame[id_column] = ids[id_column]
    return _from_pandas(frame)


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(
        frame.set_axis(frame.columns.map(str), axis=1), preserve_index=False
    )


def _rename(table: pa.Table, columns: Mapping[str, str], source: str) -> pa.Table:
    """Give columns our names; ``photo`` names a column of the photo file, not of this one."""
    mapping = {ours: theirs for ours, theirs in columns.items() if ours != PHOTO}
    found = table.column_names
    for ours, theirs in mapping.items():
        if theirs not in found:
            raise CatalogError(
                f"{source}: no column {theirs!r}; its columns are {', '.join(map(repr, found))}. "
                f"Say which one it is with {how_to_map(ours, '…')}"
            )
    ours_of = {theirs: ours for ours, theirs in mapping.items()}
    names = [ours_of.get(name, name) for name in found]
    if len(ours_of) < len(mapping) or len(set(names)) < len(names):
        raise CatalogError(
            f"{source}: after renaming by {dict(columns)} two columns have one name, or one column "
            f"has two: {', '.join(map(repr, names))}. Rename or drop one of them"
        )
    return table.rename_columns(names)


def _checked_ids(column: pa.ChunkedArray, source: str, what: str) -> pa.Array:
    """Ids as int64 or string; refuses nulls and empty text."""
    if pa.types.is_string_view(column.type):  # polars
        column = column.cast(pa.string())
    bad = pc.is_null(column, nan_is_null=True)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        bad = pc.or_kleene(bad, pc.equal(column, ""))
    rows = np.flatnonzero(bad.to_numpy())
    if len(rows):
        raise CatalogError(
            f"{source}: {len(rows)} of {len(column)} {what} ids are empty, "
            f"at rows {_listed(rows)} (counted from 0); drop these rows or fill in their ids"
        )
    return as_id_array(column, f"{source}: {what}_id")


def _refuse_repeated(ids: pa.Array, source: str, what: str) -> None:
    encoded = ids.dictionary_encode()
    codes = encoded.indices.to_numpy()
    repeated = np.flatnonzero(np.bincount(codes) > 1)
    if not len(repeated):
        return
    first = {encoded.dictionary[int(code)]: codes == code for code in repeated[:_N_EXAMPLES]}
    examples = "; ".join(
        f"{item_id.as_py()!r} at rows {_listed(np.flatnonzero(here))}"
        for item_id, here in first.items()
    )
    raise CatalogError(
        f"{source}: {len(repeated)} {what} ids appear more than once: {examples} (counted from 0); "
        f"keep one row per {what}"
    )


def _listed(rows: np.ndarray[Any, Any]) -> str:
    shown = ", ".join(str(row) for row in rows[:_N_EXAMPLES])
    return f"{shown}, …" if len(rows) > _N_EXAMPLES else shown
