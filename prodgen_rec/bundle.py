"""The bundle: a folder that holds a fitted personalizer, hashed part by part.

``bundle.json`` names every other file with its SHA-256, and carries one of itself. All of them
are verified before anything is deserialized, and files that are not named are refused. A
bundle is written beside its final place and moved there whole.
"""

from __future__ import annotations

import errno
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prodgen_rec.errors import BundleCorruptError, BundleError, BundleVersionError
from prodgen_rec.sealed import Family, Sealed
from prodgen_rec.storage import atomic_folder, sha256, standing_folder

FORMAT = 1
"""Goes up when older versions of the library can no longer read a bundle."""

ABOUT = "bundle.json"
_RECORDED = ("numpy", "scipy", "implicit", "keras", "tensorflow", "pillow", "pyarrow")


class BundleAbout(Sealed):
    """What ``bundle.json`` says.

    Attributes
    ----------
    versions
        Of Python and the libraries that this one stands on, at writing.
    content
        What the writer wants to know again: settings, seed, fingerprints, figures.
    parts
        SHA-256 of every other file, by its path in the folder.
    """

    format: int = FORMAT
    versions: dict[str, str]
    content: dict[str, Any]
    parts: dict[str, str]


_BUNDLES = Family(
    name="bundle",
    format=FORMAT,
    advice="restore the bundle from a copy or fit again",
    corrupt=BundleCorruptError,
    newer=BundleVersionError,
)


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    versions = {"python": platform.python_version()}
    for package in _RECORDED:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def check_replaceable(path: Path | str) -> None:
    """Refuse a place where something stands that is no bundle.

    Raises
    ------
    BundleError
        Names the place.
    """
    path = Path(path)
    is_empty = path.is_dir() and not any(path.iterdir())
    if path.exists() and not is_empty and not (path / ABOUT).is_file():
        raise BundleError(f"{path} exists and is no bundle; choose another place or remove it")


def write_bundle(
    path: Path | str, content: dict[str, Any], write_parts: Callable[[Path], None]
) -> None:
    """Write a bundle, whole or not at all; a bundle that stood at ``path`` is replaced.

    Parameters
    ----------
    path
        Folder of the bundle.
    content
        JSON values to keep in ``bundle.json``.
    write_parts
        Writes the parts into the folder it is given.

    Raises
    ------
    BundleError
        Something that is no bundle stands at ``path``.
    OSError
        For instance a full disk; what stood at ``path`` is intact.
    """
    check_replaceable(path)
    try:
        with atomic_folder(path) as folder:
            write_parts(folder)
            parts = {name: sha256(file) for name, file in sorted(_files(folder).items())}
            about = BundleAbout(versions=library_versions(), content=content, parts=parts)
            (folder / ABOUT).write_text(about.text(), encoding="utf-8")
    except OSError as error:
        reason = (
            f"{error.strerror or error}; the bundle was not written, what stood there is intact: "
            "make room or choose another place, and save again"
        )
        raise OSError(error.errno or errno.EIO, reason, str(path)) from error


@contextmanager
def verified_bundle(path: Path | str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Verify every part of a bundle, and let the block read them.

    Gives the folder of the parts and the content of ``bundle.json``. What the block has read
    comes from one bundle, also when another one took its place meanwhile: then it is an error.

    Raises
    ------
    BundleError
        There is no bundle at ``path``, or it was replaced while it was being read.
    BundleVersionError
        A newer version of the library wrote it.
    BundleCorruptError
        A part is missing, is not named, or does not match its hash.
    """
    folder = standing_folder(path)
    if not (folder / ABOUT).is_file():
        raise BundleError(
            f"{path} is no bundle: it holds no {ABOUT}; a bundle is what Personalizer.save or "
            "`prodgen-rec fit --out` writes"
        )
    written = (folder / ABOUT).read_bytes()
    about = _BUNDLES.parse(BundleAbout, written, folder / ABOUT)
    try:
        _verify_parts(folder, about)
        yield folder, about.content
    finally:
        # An error of the block may come from parts that vanished: say why they did.
        if not (folder / ABOUT).is_file() or (folder / ABOUT).read_bytes() != written:
            raise BundleError(f"{path} was replaced while it was being read; load it again")


def _verify_parts(folder: Path, about: BundleAbout) -> None:
    present = _files(folder)
    for name in sorted(about.parts.keys() | present.keys()):
        if name not in present:
            raise BundleCorruptError(f"{folder}: part {name} is missing; restore it or fit again")
        if name not in about.parts:
            raise BundleCorruptError(
                f"{folder}: {name} is not named in {ABOUT}; remove it or fit again"
            )
        if sha256(present[name]) != about.parts[name]:
            raise BundleCorruptError(
                f"{folder}: part {name} is damaged, its content does not match its recorded "
                "SHA-256; restore it from a copy or fit again"
            )


def _files(folder: Path) -> dict[str, Path]:
    return {
        file.relative_to(folder).as_posix(): file
        for file in folder.rglob("*")
        if file.is_file() and file != folder / ABOUT
    }
