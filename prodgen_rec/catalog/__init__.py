"""The catalogue: items, their attributes and their photos.

    item table ──► tables ──► IdMap, attributes ──┐
    photos ──► sources ──► decoding ──► store ────┴──► reading ──► Catalog

Read one with :func:`read_catalog`; :class:`Catalog` is what the rest of the
library works with.
"""

from prodgen_rec.catalog.catalog import Catalog, PhotoReport
from prodgen_rec.catalog.decoding import decode_photo
from prodgen_rec.catalog.reading import read_catalog

__all__ = ["Catalog", "PhotoReport", "decode_photo", "read_catalog"]
