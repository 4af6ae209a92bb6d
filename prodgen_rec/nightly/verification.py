"""Everything that lies in a target, compared with what was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from prodgen_rec.columns import USER_ID
from prodgen_rec.errors import DeliveryError
from prodgen_rec.nightly import parts
from prodgen_rec.nightly.documents import Manifest, manifest_name
from prodgen_rec.nightly.folders import RunFolder, published, run_folders
from prodgen_rec.nightly.reading import latest_in
from prodgen_rec.nightly.stores import Store, store_of

_LOOKS = 3
"""At a run that is rewritten while it is looked at."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes
    ----------
    file
        Path or URL.
    what
        What is wrong with it.
    """

    file: str
    what: str


@dataclass(frozen=True)
class Verification:
    """What was looked at, and what is wrong.

    Attributes
    ----------
    runs
        Complete runs that were verified, by name.
    unfinished
        Runs that are not complete, by name; readers never see them.
    problems
        Empty where all is well.
    unnamed
        Files beside complete runs that no manifest names: left by a process that was killed,
        until the next writer removes them, or not written by this library.
    """

    runs: tuple[str, ...]
    unfinished: tuple[str, ...]
    problems: tuple[Problem, ...]
    unnamed: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(place: Path | str, run: str | None = None) -> Verification:
    """Read all that is published or kept, and compare it with its hashes, checksums and counts.

    It takes no lock: a run that changes meanwhile is looked at again.

    Parameters
    ----------
    place
        Folder, or any URL that fsspec understands.
    run
        Verify this complete run alone, and not what ``CURRENT`` says.

    Raises
    ------
    InputError
        ``run`` is no name of a run.
    DeliveryError
        There is no such complete run.

    Examples
    --------
    >>> import tempfile
    >>> verify(tempfile.mkdtemp())
    Verification(runs=(), unfinished=(), problems=(), unnamed=())
    """
    store = store_of(place)
    if run is not None:
        folder = existing(store, run)
        return Verification((run,), (), tuple(problems_of(folder)), tuple(_unnamed(folder)))
    folders = run_folders(store)
    complete = [folder for folder in folders if folder.revisions()]
    problems = _problems_of_current(store)
    unnamed: list[str] = []
    for folder in complete:
        problems += problems_of(folder)
        unnamed += _unnamed(folder)
    names = [folder.run_id for folder in complete]
    others = [folder.run_id for folder in folders if folder.run_id not in names]
    return Verification(tuple(names), tuple(others), tuple(problems), tuple(unnamed))


def existing(store: Store, run: str) -> RunFolder:
    """The folder of a complete run.

    Raises
    ------
    DeliveryError
        There is none of this name; it says which there are.
    """
    folder = RunFolder(store, run)
    if not folder.revisions():
        names = [one.run_id for one in run_folders(store) if one.revisions()]
        raise DeliveryError(
            f"{store.where()} holds no complete run {run!r}; it holds {', '.join(names) or 'none'}"
        )
    return folder


def problems_of(folder: RunFolder) -> list[Problem]:
    """What is wrong with a complete run."""
    found: list[Problem] = []
    for _ in range(_LOOKS):
        before = folder.revisions()
        found = list(_problems_now(folder))
        if not found or folder.revisions() == before:
            break
    return found if folder.revisions() else []  # removed meanwhile


def _problems_of_current(store: Store) -> list[Problem]:
    try:
        if published(store):
            latest_in(store)
    except DeliveryError as error:
        return [Problem(store.where("CURRENT"), str(error))]
    return []


def _problems_now(folder: RunFolder) -> Iterator[Problem]:
    try:
        manifest = folder.manifest()
    except DeliveryError as error:
        yield Problem(folder.where(manifest_name(folder.revisions()[-1])), str(error))
        return
    if manifest is None:
        return
    for index, record in enumerate(manifest.parts):
        wrong = _wrong_with(folder, manifest, index)
        if wrong:
            yield Problem(folder.where(record.name), wrong)


def _unnamed(folder: RunFolder) -> list[str]:
    try:
        manifest = folder.manifest()
    except DeliveryError:  # a problem already, and nothing says what belongs to the run
        return []
    if manifest is None:
        return []
    named = {manifest.file_name, *(record.name for record in manifest.parts)}
    return [folder.where(name) for name in folder.names() if name not in named]


def _wrong_with(folder: RunFolder, manifest: Manifest, index: int) -> str | None:
    record = manifest.parts[index]
    try:
        content = folder.read_part(record, manifest)
        table = parts.decode(content, folder.where(record.name))
    except DeliveryError as error:
        return str(error)
    columns = {field.name: str(field.type) for field in table.schema}
    if columns != record.columns:
        return f"has the columns {columns}, {record.columns} were written"
    found = (len(table), pc.count_distinct(table[USER_ID]).as_py())
    expected = (record.rows, record.counts.n_out)
    if found != expected:
        return f"has (rows, users) {found}, {expected} were recorded"
    return parts.misplaced(table, index, manifest.n_parts)
