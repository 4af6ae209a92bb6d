"""Files of a target: whole or absent, on a local disk or wherever fsspec reaches.

On a local disk a file is written under a temporary name, synced, moved to its place in one step,
and the folder is synced. Elsewhere a file is one put of one object: object stores show the old
object or the new one, and so does the memory file system. Where a put is not atomic, as over
SFTP, a reader can meet half a file; hashes and seals tell it, and it is refused.
"""

from __future__ import annotations

import errno
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from prodgen_rec.errors import InputError
from prodgen_rec.storage import atomic_file, sync

_TEMPORARY = re.compile(r"\..+\.part")


class Store(ABC):
    """Files below a root, by relative names with ``/``."""

    @abstractmethod
    def where(self, name: str = "") -> str:
        """Path or URL of a file, as messages show it."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Content of a file; FileNotFoundError where there is none."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Number of bytes of a file; FileNotFoundError where there is none."""

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """Names of the files in and below a folder, relative to it, sorted."""

    @abstractmethod
    def _put(self, name: str, content: bytes) -> None: ...

    @abstractmethod
    def _delete(self, name: str) -> None: ...

    def write(self, name: str, content: bytes) -> None:
        """Write a file that is whole or absent, and on the disk when this returns."""
        with self._explained(name, "was not written"):
            self._put(name, content)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._explained(name, "was not removed"), suppress(FileNotFoundError):
            self._delete(name)

    def read_if_there(self, name: str) -> bytes | None:
        """Content of a file, or None."""
        try:
            return self.read(name)
        except FileNotFoundError:
            return None

    @contextmanager
    def _explained(self, name: str, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = (
                f"{error.strerror or error}; the file {what}, what is published is intact: "
                "see to the disk, and run again to go on from here"
            )
            raise OSError(error.errno or errno.EIO, reason, self.where(name)) from error


class LocalStore(Store):
    """A folder of a local file system, or of one that is mounted like one."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def where(self, name: str = "") -> str:
        """Path of a file."""
        return str(self.root / name)

    def read(self, name: str) -> bytes:
        """Content of a file."""
        return (self.root / name).read_bytes()

    def size(self, name: str) -> int:
        """Number of bytes of a file."""
        return (self.root / name).stat().st_size

    def names(self, folder: str = "") -> list[str]:
        """Names of the files below a folder."""
        top = self.root / folder
        return sorted(
            (Path(parent) / file).relative_to(top).as_posix()
            for parent, _, files in os.walk(top)
            for file in files
        )

    def make_folder(self, folder: Path) -> None:
        """Make a folder that is still there after a power cut."""
        if not folder.is_dir():
            self.make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            sync(folder.parent)

    def _put(self, name: str, content: bytes) -> None:
        path = self.root / name
        self.make_folder(path.parent)
        with atomic_file(path) as temporary:
            temporary.write_bytes(content)

    def _delete(self, name: str) -> None:
        path = self.root / name
        path.unlink()
        sync(path.parent)
        if path.parent != self.root:
            with suppress(OSError):  # there is more in it
                path.parent.rmdir()


class RemoteStore(Store):
    """A folder of any file system of fsspec.

    Parameters
    ----------
    filesystem
        Of fsspec.
    root
        Path in it.
    """

    def __init__(self, filesystem: fsspec.AbstractFileSystem, root: str) -> None:
        self.filesystem = filesystem
        self.root = root.rstrip("/")

    def where(self, name: str = "") -> str:
        """URL of a file."""
        return str(self.filesystem.unstrip_protocol(self._path(name)))

    def read(self, name: str) -> bytes:
        """Content of a file."""
        return bytes(self.filesystem.cat_file(self._path(name)))

    def size(self, name: str) -> int:
        """Number of bytes of a file."""
        self.filesystem.invalidate_cache()  # others write here, too
        return int(self.filesystem.info(self._path(name))["size"])

    def names(self, folder: str = "") -> list[str]:
        """Names of the files below a folder."""
        self.filesystem.invalidate_cache()
        top = self._path(folder)
        found = [str(path) for path in self.filesystem.find(top)]
        return sorted(path[len(top) :].lstrip("/") for path in found)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one; whether it was written."""
        try:
            self.filesystem.pipe_file(self._path(name), content, mode="create")
        except FileExistsError:
            return False
        return True

    def _put(self, name: str, content: bytes) -> None:
        self.filesystem.pipe_file(self._path(name), content)

    def _delete(self, name: str) -> None:
        self.filesystem.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root


def is_temporary(name: str) -> bool:
    """Whether a file is what a killed writer leaves before it is done."""
    return bool(_TEMPORARY.fullmatch(name.rpartition("/")[2]))


def store_of(place: Path | str) -> LocalStore | RemoteStore:
    """The files of a place.

    Parameters
    ----------
    place
        Folder, or URL that fsspec understands, such as ``s3://shop/pictures``.

    Raises
    ------
    InputError
        No file system for such a URL is installed, or a file stands there.
    """
    if isinstance(place, Path) or "://" not in place:
        return _local(Path(place).absolute())
    try:
        filesystem, root = fsspec.url_to_fs(place)
    except (ValueError, ImportError) as error:
        raise InputError(
            f"{place}: no file system for it ({error}); pass a folder, or the URL of one that "
            "fsspec knows, with its package installed"
        ) from error
    if isinstance(filesystem, LocalFileSystem):
        return _local(Path(root))
    return RemoteStore(filesystem, root)


def _local(root: Path) -> LocalStore:
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file; nightly runs need a folder of their own")
    return LocalStore(root)
