"""Read a catalogue: put the item table and the photos together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prodgen_rec.catalog.catalog import Catalog, PhotoReport
from prodgen_rec.catalog.sources import IndexArray, PhotoSource, open_photos
from prodgen_rec.catalog.store import load_photos
from prodgen_rec.catalog.tables import read_items
from prodgen_rec.errors import CatalogError, ConfigError
from prodgen_rec.ids import IdMap


def read_catalog(
    items: Any,
    photos: Any,
    *,
    size: int = 64,
    columns: Mapping[str, str] | None = None,
    cache_dir: str | Path | None = None,
    max_missing_fraction: float = 0.5,
    max_pixels: int = 50_000_000,
    progress: bool = True,
) -> Catalog:
    """Read items and their photos.

    Parameters
    ----------
    items
        One row per item, with the column ``item_id`` and any others: path of a CSV (``.csv``,
        ``.csv.gz``) or Parquet file, a folder of Parquet parts, or a pandas, polars or Arrow
        table. Ids are int or text; those of a CSV become int64 where all of them are plain
        integers, so ``0108775015`` keeps its zero.
    photos
        One photo per item, from one of:

        - a folder, read with its subfolders, of files named by item id: ``7.jpg``,
          ``a/7.PNG``, … (jpg, jpeg, png, webp, gif, bmp, tif, tiff). For an id that cannot be
          a file name, use ``urllib.parse.quote(item_id, safe="")``: ``a%2Fb.jpg`` is the
          photo of item ``a/b``;
        - a Parquet file, or a folder of them, with a column ``item_id`` and a column of encoded
          bytes: ``photo``, ``image``, ``jpeg`` or ``bytes``, or the only binary one;
        - pixels in memory: a mapping from item id to uint8 (height, width, 3), or a pair of
          n ids and uint8 (n, height, width, 3);
        - None, for a catalogue without photos.

        Of several photos of an item the first is used: by path, or by row.
    size
        Height and width of the photos in pixels, at least 1.
    columns
        Our column names mapped to those of the table, such as ``{"item_id": "article_id"}``.
        ``photo`` names the column of bytes in a Parquet file of photos.
    cache_dir
        Folder in which decoded photos are kept, keyed by their content, so that the next
        reading decodes nothing and uses no memory. None decodes into memory.
    max_missing_fraction
        Share of items without a usable photo, 0 to 1, above which the reading fails.
    max_pixels
        Width times height above which a photo counts as broken, without being decoded.
    progress
        Show a progress bar where standard error is a terminal.

    Returns
    -------
    Catalog
        Its ``report`` counts and names items without photo, broken photos and unused ones.

    Raises
    ------
    CatalogError
        The table or the photos cannot be read, or too many photos are missing.
    ConfigError
        A setting is out of range.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> table = pd.DataFrame({"item_id": ["mug", "cap"], "price": [8.0, 15.0]})
    >>> catalog = read_catalog(table, {"cap": np.zeros((20, 10, 3), np.uint8)}, size=16)
    >>> print(catalog.report.summary())
    2 items, 1 with a photo; 1 without: 'mug'
    >>> catalog.photos_of(["cap"]).shape
    (1, 16, 16, 3)
    """
    _check_settings(size, max_missing_fraction, max_pixels)
    item_map, attributes = read_items(items, columns or {})
    source = open_photos(photos, columns or {})
    found = source.match(item_map)
    chosen = _first_of_each(found)
    limit = 1.0 if photos is None else max_missing_fraction
    # Names that don't match are noticed before an hour of decoding, not after it.
    _check_missing(_report(item_map, source, found, chosen, {}), limit, source)
    pixels, reasons = load_photos(
        lambda: source.payloads(chosen),
        len(chosen),
        size=size,
        max_pixels=max_pixels,
        cache_dir=None if cache_dir is None else Path(cache_dir),
        progress=progress,
    )
    report = _report(item_map, source, found, chosen, reasons)
    _check_missing(report, limit, source)
    decoded = np.delete(chosen, list(reasons))
    photo_index = np.full(len(item_map), -1, np.int64)
    photo_index[found[decoded]] = np.arange(len(decoded))
    return Catalog(item_map, attributes, pixels, photo_index, report)


def _check_settings(size: int, max_missing_fraction: float, max_pixels: int) -> None:
    if size < 1:
        raise ConfigError(f"size must be at least 1 pixel, got {size}")
    if not 0 <= max_missing_fraction <= 1:
        raise ConfigError(f"max_missing_fraction must be 0 to 1, got {max_missing_fraction}")
    if max_pixels < 1:
        raise ConfigError(f"max_pixels must be at least 1, got {max_pixels}")


def _first_of_each(found: IndexArray) -> IndexArray:
    """Increasing positions of the first photo of each item that has one."""
    matched = np.flatnonzero(found >= 0)
    _, first = np.unique(found[matched], return_index=True)
    return np.sort(matched[first])


def _report(
    items: IdMap,
    source: PhotoSource,
    found: IndexArray,
    chosen: IndexArray,
    reasons: Mapping[int, str],
) -> PhotoReport:
    """Name what happened; ``reasons`` is keyed by position in ``chosen``."""
    ids = items.arrow.to_pylist()
    place_of = {int(found[position]): source.places[position] for position in chosen}
    broken = sorted((int(found[chosen[place]]), reason) for place, reason in reasons.items())
    unused = [
        (source.places[position], _why_unused(source, position, place_of.get(int(found[position]))))
        for position in np.setdiff1d(np.arange(len(found)), chosen)
    ]
    return PhotoReport(
        n_items=len(ids),
        n_photos=len(chosen) - len(reasons),
        missing=tuple(ids[index] for index in range(len(ids)) if index not in place_of),
        broken=tuple((ids[index], reason) for index, reason in broken),
        unused=tuple(unused),
    )


def _why_unused(source: PhotoSource, position: int, first_place: str | None) -> str:
    if first_place is not None:
        return f"another photo of the item: {first_place} is used"
    raw_id = source.ids[int(position)].as_py()
    return "no item id" if raw_id is None else f"no item {raw_id!r}"


def _check_missing(report: PhotoReport, limit: float, source: PhotoSource) -> None:
    n_without = report.n_items - report.n_photos
    if n_without <= limit * report.n_items:
        return
    spelled = ", ".join(repr(raw_id) for raw_id in source.ids[:3].to_pylist())
    raise CatalogError(
        f"{n_without:,} of {report.n_items:,} items have no usable photo, more than "
        f"max_missing_fraction={limit:g} allows: {report.summary()}. Photos must be named by "
        f"item id; the first of them are named {spelled or '(none)'}. Correct the names, drop "
        "these items, or raise max_missing_fraction"
    )
