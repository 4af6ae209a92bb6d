"""The catalogue as the rest of the library sees it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from prodgen_rec.catalog.decoding import Pixels
from prodgen_rec.catalog.store import write_photos
from prodgen_rec.columns import ITEM_ID
from prodgen_rec.errors import BundleCorruptError, CatalogError
from prodgen_rec.ids import IdArray, IdMap, as_id_array
from prodgen_rec.storage import atomic_folder

_ITEMS = "items.parquet"
_PHOTOS = "photos.npy"
_PHOTO_INDEX = "photo_index.npy"
_REPORT = "report.json"
_N_EXAMPLES = 3


@dataclass(frozen=True)
class PhotoReport:
    """What became of the photos of a catalogue.

    Every item has a photo, or is missing one, or has a broken one:
    ``n_items == n_photos + len(missing) + len(broken)``.

    Parameters
    ----------
    n_items
        Items in the catalogue.
    n_photos
        Items that have a photo.
    missing
        Ids of the items for which there was no photo.
    broken
        Id and reason for each item whose photo could not be decoded.
    unused
        Place and reason for each photo that was not used: no item has its id, or another
        photo of the same item came first.
    """

    n_items: int
    n_photos: int
    missing: tuple[str | int, ...] = ()
    broken: tuple[tuple[str | int, str], ...] = ()
    unused: tuple[tuple[str, str], ...] = ()

    def summary(self) -> str:
        """Give the counts in one line, with the first few names of each kind.

        >>> PhotoReport(3, 1, missing=("b",), broken=(("c", "truncated"),)).summary()
        "3 items, 1 with a photo; 1 without: 'b'; 1 broken: 'c' (truncated)"
        """
        broken = [f"{item_id!r} ({reason})" for item_id, reason in self.broken[:_N_EXAMPLES]]
        unused = [f"{place} ({reason})" for place, reason in self.unused[:_N_EXAMPLES]]
        missing = [repr(item_id) for item_id in self.missing[:_N_EXAMPLES]]
        return "; ".join(
            [
                f"{self.n_items:,} items, {self.n_photos:,} with a photo",
                *_counted("without", len(self.missing), missing),
                *_counted("broken", len(self.broken), broken),
                *_counted("photos not used", len(self.unused), unused),
            ]
        )


def _counted(what: str, n: int, examples: Sequence[str]) -> list[str]:
    more = ", …" if n > len(examples) else ""
    return [f"{n:,} {what}: {', '.join(examples)}{more}"] if n else []


@dataclass(frozen=True, eq=False)
class Catalog:
    """Items, their attributes and their photos.

    Parameters
    ----------
    items
        Every item of the table, sorted by id.
    attributes
        n_items rows in the order of ``items``: every column of the table but the id.
    photos
        uint8 RGB, shape (n_photos, size, size, 3), 0 to 255, read-only, often a memory map.
        Its order is that of the source; go through ``photo_index`` or :meth:`photos_of`.
    photo_index
        int64, shape (n_items,): row of each item in ``photos``, -1 where it has none.
    report
        What was found on reading.
    """

    items: IdMap
    attributes: pd.DataFrame
    photos: Pixels
    photo_index: npt.NDArray[np.int64]
    report: PhotoReport

    def __post_init__(self) -> None:
        n_items, shape = len(self.items), self.photos.shape
        if len(self.attributes) != n_items or self.photo_index.shape != (n_items,):
            raise CatalogError(
                f"{n_items} items, {len(self.attributes)} rows of attributes and "
                f"{len(self.photo_index)} photo indices; expected the same number of each"
            )
        square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3
        if self.photos.dtype != np.uint8 or not square:
            raise CatalogError(
                f"photos must be uint8 (n, size, size, 3), got {self.photos.dtype} {shape}"
            )
        if ((self.photo_index < -1) | (self.photo_index >= len(self.photos))).any():
            raise CatalogError(f"photo_index must be -1 to {len(self.photos) - 1}, a row of photos")
        if (self.report.n_items, self.report.n_photos) != (n_items, (self.photo_index >= 0).sum()):
            raise CatalogError(f"the report is of another catalogue: {self.report.summary()}")

    def __repr__(self) -> str:
        names = ", ".join(self.attributes.columns)
        return f"Catalog({self.report.summary()}; {self.size} px; attributes: {names or 'none'})"

    @property
    def size(self) -> int:
        """Height and width of every photo in pixels."""
        return int(self.photos.shape[1])

    def with_photo(self) -> IdArray:
        """Ids of the items that have a photo, sorted, shape (n_photos,)."""
        return self.items.take(np.flatnonzero(self.photo_index >= 0))

    def without_photo(self) -> IdArray:
        """Ids of the items that have none, sorted, shape (n_items - n_photos,)."""
        return self.items.take(np.flatnonzero(self.photo_index < 0))

    def photos_of(self, item_ids: Iterable[Any]) -> Pixels:
        """Photos of items, in the order asked for.

        Parameters
        ----------
        item_ids
            n raw ids; repeats are fine.

        Returns
        -------
        ndarray
            A copy, shape (n, size, size, 3), uint8 RGB, 0 to 255.

        Raises
        ------
        UnknownIdError
            An id is not in the catalogue.
        CatalogError
            An item has no photo.
        """
        wanted = as_id_array(item_ids, "item")
        rows = self.photo_index[self.items.index(wanted, "item")]
        if (rows < 0).any():
            first = wanted[int(np.argmax(rows < 0))].as_py()
            raise CatalogError(
                f"{int((rows < 0).sum())} of {len(rows)} items have no photo, the first is "
                f"{first!r}; with_photo() lists those that have one"
            )
        return np.asarray(self.photos[rows])

    def save(self, path: str | Path) -> None:
        """Write the catalogue as a folder, whole or not at all; a folder there is replaced.

        The photos are written in the order of the items, so that equal catalogues give equal
        files. The table has page checksums.
        """
        frame = self.attributes.assign(**{ITEM_ID: self.items.ids})
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        has_photo = self.photo_index >= 0
        photo_index = np.where(has_photo, np.cumsum(has_photo) - 1, -1).astype(np.int64)
        photos = (self.photos[row] for row in self.photo_index[has_photo])
        with atomic_folder(path) as folder:
            pq.write_table(table, folder / _ITEMS, write_page_checksum=True)
            write_photos(folder / _PHOTOS, photos, self.size)
            np.save(folder / _PHOTO_INDEX, photo_index, allow_pickle=False)
            report = json.dumps(dataclasses.asdict(self.report))
            (folder / _REPORT).write_text(report, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Catalog:
        """Open a saved catalogue; its photos stay on disk, memory-mapped.

        Raises
        ------
        BundleCorruptError
            A part is missing, damaged, or does not fit the others.
        """
        folder = Path(path)
        try:
            table = pq.read_table(folder / _ITEMS, page_checksum_verification=True)
            return cls(
                items=IdMap(as_id_array(table[ITEM_ID])),
                attributes=table.to_pandas().drop(columns=ITEM_ID),
                photos=np.load(folder / _PHOTOS, mmap_mode="r", allow_pickle=False),
                photo_index=np.load(folder / _PHOTO_INDEX, allow_pickle=False),
                report=_read_report(folder / _REPORT),
            )
        # Arrow's errors, numpy's and our own for bad content are all ValueErrors.
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise BundleCorruptError(
                f"{folder} is not a complete catalogue: {error}; save it again"
            ) from error


def _read_report(path: Path) -> PhotoReport:
    found = json.loads(path.read_text(encoding="utf-8"))
    for name in ("broken", "unused"):
        found[name] = tuple(tuple(pair) for pair in found[name])
    return PhotoReport(**{**found, "missing": tuple(found["missing"])})
