"""Files that are whole or absent: atomic writes, hashes, arrays without pickle."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import BundleCorruptError

_CHUNK = 1 << 20


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block succeeds.

    The content is synced to disk first, and the folder after, so that a power cut loses
    neither. When the block fails, for instance on a full disk,
    the temporary file is removed and whatever stood at ``path`` is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync(temporary)
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """A temporary folder beside ``path`` that takes its place when the block succeeds.

    The folder that stood at ``path`` is moved aside, not deleted, until the new one is in
    place; a failure at any point leaves one of the two whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    previous = _previous(path)
    if standing_folder(path) == previous:  # killed between the two renames below
        os.replace(previous, path)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                sync(file)
        temporary.chmod(0o777 & ~_umask())
        shutil.rmtree(previous, ignore_errors=True)
        if path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        shutil.rmtree(previous, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def standing_folder(path: Path | str) -> Path:
    """Where to read what `atomic_folder` wrote to ``path``.

    That is ``path``, unless a writer was killed, or is just now, between moving the old folder
    aside and the new one into its place: then it is where the old one stands.
    """
    path = Path(path)
    previous = _previous(path)
    return previous if previous.exists() and not path.exists() else path


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def save_arrays(path: Path | str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write named arrays as an uncompressed ``.npz`` file, atomically.

    Raises
    ------
    TypeError
        An array holds Python objects: those could only be pickled.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"array {name!r} holds Python objects and cannot be saved")
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(path: Path | str) -> dict[str, npt.NDArray[Any]]:
    """Read what `save_arrays` wrote; object arrays are refused.

    Raises
    ------
    BundleCorruptError
        The file is missing, truncated, or no plain ``.npz``.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    # zipfile raises RuntimeError where a damaged header asks for encryption or the like.
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise BundleCorruptError(f"{path}: not a readable array file ({error})") from error


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
