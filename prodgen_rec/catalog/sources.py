"""Where photos come from: a folder, Parquet files, or arrays.

Each becomes a :class:`PhotoSource`: the ids as it spells them, and a way to
stream the photos that are wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from prodgen_rec.catalog.decoding import Payload
from prodgen_rec.catalog.tables import existing_path
from prodgen_rec.columns import ITEM_ID, PHOTO, how_to_map
from prodgen_rec.errors import CatalogError
from prodgen_rec.ids import IdMap, as_id_array

IndexArray = npt.NDArray[np.int64]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
"""Files of a folder with one of these endings, in any case, are photos."""

_PHOTO_COLUMNS = (PHOTO, "image", "jpeg", "bytes")
_BATCH_ROWS = 256


@dataclass(frozen=True, eq=False)
class PhotoSource:
    """Photos that can be read, in a fixed order.

    Parameters
    ----------
    ids
        Item id of each photo as the source spells it, int64 or string, may hold nulls.
    places
        Where each photo is, for messages.
    payloads
        Given increasing positions, streams these photos in that order.
    escaped
        Whether ids may be percent-escaped, because they are file names.
    """

    ids: pa.Array
    places: Sequence[str]
    payloads: Callable[[IndexArray], Iterator[Payload]]
    escaped: bool = False

    def match(self, items: IdMap) -> IndexArray:
        """Dense item index of each photo, -1 where no item has its id."""
        found = _find(self.ids, items)
        if self.escaped:  # a name that is an item's id as it stands is not unescaped
            unmatched = np.flatnonzero(found < 0)
            names = [unquote(self.ids[int(position)].as_py()) for position in unmatched]
            found[unmatched] = _find(pa.array(names, pa.string()), items)
        return found


def open_photos(photos: Any, columns: Mapping[str, str]) -> PhotoSource:
    """Find the source behind what a caller passed as photos; see :func:`read_catalog`."""
    if photos is None:
        return _from_arrays([], [])
    if isinstance(photos, str | Path):
        return _from_path(existing_path(photos, "photos"), columns)
    if isinstance(photos, Mapping):
        return _from_arrays(list(photos), list(photos.values()))
    if isinstance(photos, tuple) and len(photos) == 2:
        return _from_arrays(*photos)
    raise CatalogError(
        "photos: expected a folder, a Parquet file, a mapping from item id to pixels, "
        f"a pair (item ids, pixels) or None, got {type(photos).__name__}"
    )


def _find(ids: pa.Array, items: IdMap) -> IndexArray:
    found = np.full(len(ids), -1, np.int64)
    valid = ids.is_valid().to_numpy(zero_copy_only=False)
    found[valid] = items.find(ids.drop_null())
    return found


def _from_path(path: Path, columns: Mapping[str, str]) -> PhotoSource:
    if path.is_file():
        return _from_parquet([path], columns)
    if files := _photo_files(path):
        return _from_files(path, files)
    if parts := sorted(path.glob("*.parquet")):
        return _from_parquet(parts, columns)
    raise CatalogError(
        f"photos: {path} holds no photo; expected files named <item id> with one of the endings "
        f"{', '.join(sorted(SUFFIXES))}, in it or in its subfolders, or Parquet files"
    )


def _photo_files(folder: Path) -> list[Path]:
    """Photos in a folder and its subfolders, sorted.

    Hidden folders are left out, and the ``._…`` companions that macOS writes beside files.
    """
    files = []
    for root, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        files += [Path(root, name) for name in names if not name.startswith("._")]
    return sorted(path for path in files if path.suffix.lower() in SUFFIXES and path.is_file())


def _from_files(folder: Path, files: Sequence[Path]) -> PhotoSource:
    def payloads(chosen: IndexArray) -> Iterator[Payload]:
        return (files[position] for position in chosen)

    # A file name may hold bytes that are no UTF-8; it then matches no item.
    stems = [path.stem.encode("utf-8", "replace").decode() for path in files]
    places = [path.relative_to(folder).as_posix() for path in files]
    return PhotoSource(pa.array(stems, pa.string()), places, payloads, escaped=True)


def _from_arrays(item_ids: Any, arrays: Any) -> PhotoSource:
    ids = as_id_array(item_ids, "photos: item ids")
    if len(ids) != len(arrays):
        raise CatalogError(f"photos: {len(ids)} item ids for {len(arrays)} arrays of pixels")
    for item_id, array in zip(ids, arrays, strict=True):
        if not _is_pixels(array):
            got = getattr(array, "dtype", type(array).__name__), getattr(array, "shape", "")
            raise CatalogError(
                f"photos: the pixels of item {item_id.as_py()!r} must be a uint8 array of shape "
                f"(height, width, 3), got {got[0]} {got[1]}"
            )

    def payloads(chosen: IndexArray) -> Iterator[Payload]:
        return (arrays[position] for position in chosen)

    return PhotoSource(ids, [f"array {position}" for position in range(len(ids))], payloads)


def _is_pixels(array: Any) -> bool:
    """Whether this is one uint8 RGB picture that is not empty."""
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        return False
    return array.ndim == 3 and array.shape[2] == 3 and array.size > 0


def _from_parquet(files: Sequence[Path], columns: Mapping[str, str]) -> PhotoSource:
    """Photos as encoded bytes, one per row."""
    parts = [(file, *_read_ids(file, columns)) for file in files]
    ids = pa.concat_arrays([part_ids for _, _, part_ids in parts])
    places = [f"{file.name}, row {row}" for file, _, part in parts for row in range(len(part))]

    def payloads(chosen: IndexArray) -> Iterator[Payload]:
        wanted = np.zeros(len(ids), dtype=bool)
        wanted[chosen] = True
        start = 0
        for file, column, part_ids in parts:
            yield from _stream(file, column, wanted[start : start + len(part_ids)])
            start += len(part_ids)

    return PhotoSource(ids, places, payloads)


def _read_ids(file: Path, columns: Mapping[str, str]) -> tuple[str, pa.Array]:
    """Name of the column of photos, and the ids of a Parquet file, which may hold nulls."""
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            id_column, photo_column = _photo_columns(parquet.schema_arrow, columns, file)
            column = parquet.read(columns=[id_column])[id_column].combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise CatalogError(f"photos: {file} cannot be read as Parquet: {error}") from error
    valid = as_id_array(column.drop_null(), f"{file}: {id_column}")
    return photo_column, column.cast(valid.type)


def _photo_columns(schema: pa.Schema, columns: Mapping[str, str], file: Path) -> tuple[str, str]:
    listed = ", ".join(map(repr, schema.names))
    id_column = columns.get(ITEM_ID, ITEM_ID)
    if id_column not in schema.names:
        id_column = ITEM_ID  # the mapping was for the item table
    if id_column not in schema.names:
        raise CatalogError(
            f"photos: {file} has no column {columns.get(ITEM_ID, ITEM_ID)!r}; its columns are "
            f"{listed}. Say which one it is with {how_to_map(ITEM_ID, '…')}"
        )
    binary = [field.name for field in schema if _is_binary(field.type)]
    wanted = [columns[PHOTO]] if PHOTO in columns else [*_PHOTO_COLUMNS]
    found = [name for name in wanted if name in binary]
    if not found and PHOTO not in columns and len(binary) == 1:
        found = binary
    if not found:
        raise CatalogError(
            f"photos: {file} has no column of encoded photos {' / '.join(map(repr, wanted))} "
            f"of a binary type; its columns are {listed}, of these binary {binary}. "
            f"Say which one it is with {how_to_map(PHOTO, '…')}"
        )
    return id_column, found[0]


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _stream(file: Path, column: str, wanted: npt.NDArray[np.bool_]) -> Iterator[bytes]:
    """Stream the encoded photos of the wanted rows of a file; a null becomes no bytes."""
    start = 0
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=[column]):
                for row in np.flatnonzero(wanted[start : start + len(batch)]):
                    yield batch.column(0)[int(row)].as_py() or b""
                start += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise CatalogError(f"photos: {file} cannot be read: {error}") from error
