"""Bundles that somebody has tampered with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prodgen_rec.bundle import ABOUT, BundleAbout
from prodgen_rec.storage import sha256


def parts_of(path: Path) -> dict[str, bytes]:
    """Every file of a folder by its path."""
    files = [file for file in path.rglob("*") if file.is_file()]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def rewrite(path: Path, **changes: Any) -> None:
    """Change ``bundle.json`` as somebody would who has read how it is sealed."""
    about = BundleAbout.model_validate_json((path / ABOUT).read_bytes())
    parts = {name: sha256(path / name) for name in parts_of(path).keys() - {ABOUT}}
    about = about.model_copy(update={"parts": parts, **changes}).sealed()
    (path / ABOUT).write_text(about.model_dump_json())
