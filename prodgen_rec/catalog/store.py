"""Decode many photos, and keep the result in a cache of memory-mapped files.

A cache entry is two files named by a key over the content of the photos:
``<key>.npy``, the pixels, and ``<key>.json``, written last, with the SHA-256 of the
pixels and the reasons of the photos that could not be decoded. Both appear whole or not
at all. Entries are never changed; the folder may be emptied at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track

from prodgen_rec.catalog.decoding import DECODER_VERSION, Payload, Pixels, decode_photo
from prodgen_rec.errors import CatalogError
from prodgen_rec.storage import atomic_file, sha256

T = TypeVar("T")

_LOOKAHEAD = 64
_NO_DIGEST = bytes(32)


def load_photos(
    payloads: Callable[[], Iterator[Payload]],
    n: int,
    *,
    size: int,
    max_pixels: int,
    cache_dir: Path | None,
    progress: bool,
) -> tuple[Pixels, dict[int, str]]:
    """Decode photos, or find them decoded in the cache.

    Parameters
    ----------
    payloads
        Starts a stream of the ``n`` photos; called twice where there is a cache.
    n
        Number of photos.
    size, max_pixels
        As in :func:`~prodgen_rec.catalog.decode_photo`.
    cache_dir
        Folder of the cache, made if need be; None decodes into memory.
    progress
        Whether to show a bar, if standard error is a terminal.

    Returns
    -------
    tuple
        Pixels of those photos that could be decoded, in the order of the stream, uint8
        (n_decoded, size, size, 3), read-only; and for the others position → reason.

    Raises
    ------
    CatalogError
        The cache cannot be written.
    """
    decode = partial(_decode_or_reason, size=size, max_pixels=max_pixels)
    with warnings.catch_warnings():
        # What Pillow warns of (odd metadata, large pictures) is either harmless or a reason.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        # Nothing is decoded before the first row is asked for.
        rows = _tracked(_in_threads(decode, payloads()), n, "Decoding photos", progress)
        if cache_dir is None:
            return _into_memory(rows, n, size)
        digests = _tracked(_in_threads(_digest, payloads()), n, "Checking photos", progress)
        key = _key(digests, size, max_pixels)
        return _read_cache(cache_dir, key) or _into_cache(rows, size, cache_dir, key)


def write_photos(path: Path, photos: Iterable[Pixels], size: int) -> None:
    """Write a stream of (size, size, 3) uint8 arrays as one ``.npy`` file."""
    n = 0
    with path.open("wb") as file:
        _write_header(file, n, size)
        for photo in photos:
            file.write(photo.tobytes())
            n += 1
        file.seek(0)
        _write_header(file, n, size)


def _write_header(file: BinaryIO, n: int, size: int) -> None:
    # numpy pads the header so that its length doesn't depend on the first axis.
    header = {"descr": "|u1", "fortran_order": False, "shape": (n, size, size, 3)}
    np.lib.format.write_array_header_1_0(file, header)


def _in_threads(function: Callable[[Payload], T], payloads: Iterable[Payload]) -> Iterator[T]:
    """Results in the order of the payloads, of which few are held at a time."""
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for payload in payloads:
            pending.append(pool.submit(function, payload))
            if len(pending) >= _LOOKAHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _decode_or_reason(payload: Payload, *, size: int, max_pixels: int) -> Pixels | str:
    try:
        return decode_photo(payload, size=size, max_pixels=max_pixels)
    except CatalogError as error:
        return str(error)


def _tracked(rows: Iterator[T], n: int, description: str, progress: bool) -> Iterator[T]:
    console = Console(stderr=True)
    if not progress or not console.is_terminal:
        return rows
    return iter(track(rows, description, total=n, console=console, transient=True))


def _decoded(rows: Iterable[Pixels | str], reasons: dict[int, str]) -> Iterator[Pixels]:
    """Pass pixels on and put reasons aside, by position."""
    for position, row in enumerate(rows):
        if isinstance(row, str):
            reasons[position] = row
        else:
            yield row


def _into_memory(rows: Iterable[Pixels | str], n: int, size: int) -> tuple[Pixels, dict[int, str]]:
    photos = np.empty((n, size, size, 3), np.uint8)
    reasons: dict[int, str] = {}
    for position, photo in enumerate(_decoded(rows, reasons)):
        photos[position] = photo
    photos = photos[: n - len(reasons)]
    photos.flags.writeable = False
    return photos, reasons


def _digest(payload: Payload) -> bytes:
    """SHA-256 of a photo before decoding, 32 bytes."""
    if isinstance(payload, np.ndarray):
        return hashlib.sha256(repr(payload.shape).encode() + payload.tobytes()).digest()
    if isinstance(payload, bytes):
        return hashlib.sha256(payload).digest()
    try:
        with payload.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:  # decoding will say why
        return _NO_DIGEST


def _key(digests: Iterable[bytes], size: int, max_pixels: int) -> str:
    key = hashlib.sha256(f"{DECODER_VERSION}, {size}, {max_pixels}".encode())
    for digest in digests:
        key.update(digest)
    return key.hexdigest()


def _read_cache(cache_dir: Path, key: str) -> tuple[Pixels, dict[int, str]] | None:
    """Find the entry of a key; None where there is none or it is damaged."""
    path = cache_dir / f"{key}.npy"
    try:
        record = json.loads((cache_dir / f"{key}.json").read_text(encoding="utf-8"))
        if sha256(path) != record["sha256"]:
            return None
        reasons = {int(position): str(why) for position, why in record["reasons"].items()}
        return np.load(path, mmap_mode="r", allow_pickle=False), reasons
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _into_cache(
    rows: Iterable[Pixels | str], size: int, cache_dir: Path, key: str
) -> tuple[Pixels, dict[int, str]]:
    path = cache_dir / f"{key}.npy"
    reasons: dict[int, str] = {}
    try:
        with atomic_file(path) as temporary:
            write_photos(temporary, _decoded(rows, reasons), size)
        record = {"sha256": sha256(path), "reasons": reasons}
        with atomic_file(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(record), encoding="utf-8")
    except OSError as error:
        raise CatalogError(
            f"the photo cache {cache_dir} cannot be written: {error.strerror}; "
            "make room, or keep the cache in another folder (cache_dir)"
        ) from error
    return np.load(path, mmap_mode="r", allow_pickle=False), reasons
