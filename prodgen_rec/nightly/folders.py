"""The folder of a run, what state it is in, and how it comes from one state to another.

================================  ==========================================================
in the folder                     the run
================================  ==========================================================
a plan                            is unfinished; parts with a record are finished
a manifest                        is complete; what the newest manifest names belongs to it
neither                           is being removed
================================  ==========================================================

A process can be killed between any two files. Whoever takes the lock next finishes what was
begun (`recover`), from what lies there alone.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

from prodgen_rec.errors import DeliveryCorruptError, DeliveryError, DeliveryReplacedError
from prodgen_rec.nightly import parts
from prodgen_rec.nightly.documents import (
    CURRENT,
    PLAN,
    RUNS,
    Manifest,
    PartRecord,
    Plan,
    Published,
    checked_run_id,
    manifest_name,
    parse,
    record_name,
    revision_of,
)
from prodgen_rec.nightly.stores import Store, is_temporary

logger = logging.getLogger(__name__)

_OURS = re.compile(r"(part-\d+.*\.(parquet|json)|manifest.*\.json|plan\.json)")


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run.

    Parameters
    ----------
    store
        Files of the target.
    run_id
        Name of the run; checked, because it becomes a path.
    """

    store: Store
    run_id: str

    def __post_init__(self) -> None:
        checked_run_id(self.run_id)

    def path(self, name: str) -> str:
        """Name of a file, from the root of the target."""
        return f"{RUNS}/{self.run_id}/{name}"

    def where(self, name: str = "") -> str:
        """Path or URL of a file, for messages."""
        return self.store.where(self.path(name).rstrip("/"))

    def names(self) -> list[str]:
        """Names of all files."""
        return self.store.names(f"{RUNS}/{self.run_id}")

    def read(self, name: str) -> bytes | None:
        """Content of a file, or None."""
        return self.store.read_if_there(self.path(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        self.store.write(self.path(name), content)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, one after the other."""
        for name in names:
            self.store.remove(self.path(name))

    def revisions(self) -> list[int]:
        """Of which there is a manifest, ascending; several only while one replaces the other."""
        return sorted(
            revision for name in self.names() if (revision := revision_of(name)) is not None
        )

    def manifest(self) -> Manifest | None:
        """The newest manifest, or None where the run is not complete.

        Raises
        ------
        DeliveryCorruptError, DeliveryVersionError
            It cannot be used.
        """
        for revision in reversed(self.revisions()):
            content = self.read(manifest_name(revision))
            if content is not None:
                return self.parsed_manifest(revision, content)
        return None

    def parsed_manifest(self, revision: int, content: bytes) -> Manifest:
        """A manifest from the bytes of its file, if it is of this run and revision."""
        file = self.where(manifest_name(revision))
        manifest = parse(Manifest, content, file)
        if (manifest.run_id, manifest.revision) != (self.run_id, revision):
            raise DeliveryCorruptError(
                f"{file} is the manifest of run {manifest.run_id}, revision {manifest.revision}; "
                "put it back where it belongs, or roll back to another run"
            )
        return manifest

    def plan(self) -> Plan | None:
        """What an unfinished run is made from, or None."""
        content = self.read(PLAN)
        return None if content is None else parse(Plan, content, self.where(PLAN))

    def read_part(self, record: PartRecord, manifest: Manifest | None = None) -> bytes:
        """Bytes of a part that match its record.

        Raises
        ------
        DeliveryCorruptError
            They do not, or there are none.
        DeliveryReplacedError
            The part is gone together with the manifest that names it.
        """
        content = self.read(record.name)
        if content is None and manifest and self.read(manifest.file_name) is None:
            raise DeliveryReplacedError(
                f"{self.where(record.name)}: run {self.run_id} was removed or rewritten while it "
                "was being read; call latest() again"
            )
        wrong = "is missing" if content is None else parts.complaint(record, content)
        if content is None or wrong:
            raise DeliveryCorruptError(
                f"{self.where(record.name)}: {wrong}; restore it from a copy, or roll back to "
                "another run"
            )
        return content

    def check_size(self, record: PartRecord) -> None:
        """Compare the length of a part with its record, without reading the part.

        Raises
        ------
        DeliveryCorruptError
            It is another one, or there is no such file.
        """
        try:
            n_bytes = self.store.size(self.path(record.name))
        except FileNotFoundError:
            n_bytes = None
        if n_bytes != record.n_bytes:
            found = "is missing" if n_bytes is None else f"has {n_bytes} bytes"
            raise DeliveryCorruptError(
                f"{self.where(record.name)} {found}, {record.n_bytes} bytes were recorded; write "
                "the part again, to the place of the run"
            )

    def finished(self, n_parts: int) -> dict[int, PartRecord]:
        """Verified parts of an unfinished run; what is left of others is removed."""
        found = {}
        for index in range(n_parts):
            content = self.read(record_name(index))
            if content is not None:
                try:
                    record = parse(PartRecord, content, self.where(record_name(index)))
                    self.read_part(record)
                    found[index] = record
                except DeliveryError as error:
                    logger.warning("part %d is computed again: %s", index, error)
        self.clear({PLAN, *map(record_name, found), *(part.name for part in found.values())})
        return found

    def settle(self, manifest: Manifest) -> None:
        """Remove what does not belong to a complete run, older manifests first."""
        self.clear({manifest.file_name, *(part.name for part in manifest.parts)})

    def discard(self) -> None:
        """Remove the run: first what makes it one, so that nobody takes the rest for a run."""
        self.clear(set())

    def clear(self, kept: set[str]) -> None:
        """Remove files of ours, manifests before plan and records before parts."""
        names = [name for name in self.names() if name not in kept and _is_ours(name)]
        ranks = {"json": 1, "parquet": 2}

        def rank(name: str) -> tuple[int, str]:
            is_first = revision_of(name) is not None
            return (0 if is_first else ranks.get(name.rpartition(".")[2], 3)), name

        self.remove(sorted(names, key=rank))


def _is_ours(name: str) -> bool:
    return bool(_OURS.fullmatch(name)) or is_temporary(name)


def run_folders(store: Store) -> list[RunFolder]:
    """A folder for each run, complete or not, by name."""
    names = {name.split("/")[0] for name in store.names(RUNS) if "/" in name}
    return [RunFolder(store, name) for name in sorted(names) if _is_run_id(name)]


def _is_run_id(name: str) -> bool:
    try:
        return bool(checked_run_id(name))
    except ValueError:
        return False


def complete_runs(store: Store) -> list[Manifest]:
    """Manifests of all complete runs that can be read, oldest first."""
    found = []
    for folder in run_folders(store):
        try:
            manifest = folder.manifest()
        except DeliveryError as error:
            logger.warning("left alone: %s", error)
            continue
        if manifest:
            found.append(manifest)
    return sorted(found, key=lambda manifest: manifest.order)


def published(store: Store) -> Published | None:
    """What is published, or None.

    Raises
    ------
    DeliveryCorruptError, DeliveryVersionError
        The file that says it cannot be used.
    """
    content = store.read_if_there(CURRENT)
    return None if content is None else parse(Published, content, store.where(CURRENT))


def point_to(folder: RunFolder, revision: int, withdrawn: Iterable[str]) -> None:
    """Publish a complete run, in one step."""
    content = folder.store.read(folder.path(manifest_name(revision)))
    published = Published(
        run_id=folder.run_id,
        revision=revision,
        manifest=hashlib.sha256(content).hexdigest(),
        withdrawn=tuple(sorted(set(withdrawn) - {folder.run_id})),
    )
    folder.store.write(CURRENT, published.text().encode())


def adopt(folder: RunFolder, manifest: Manifest) -> None:
    """Let the newest manifest of a complete run take the place of older ones.

    First ``CURRENT``, if it names the run, then the older manifest goes, then its parts: a
    reader finds all of the old ones or all of the new ones, or learns that they were replaced.
    """
    current = published(folder.store)
    if current and current.run_id == folder.run_id and current.revision < manifest.revision:
        point_to(folder, manifest.revision, current.withdrawn)
    folder.settle(manifest)


def recover(store: Store) -> None:
    """Finish what a killed process has begun. The lock must be held.

    Raises
    ------
    DeliveryError
        What lies there is something else's, and would be overwritten.
    """
    _check_ours(store)
    for name in store.names():
        if "/" not in name and is_temporary(name):
            store.remove(name)
    for folder in run_folders(store):
        try:
            manifest = folder.manifest()
            if manifest:
                adopt(folder, manifest)
            elif folder.read(PLAN) is None:
                folder.discard()
        except DeliveryError as error:
            logger.warning("left alone: %s", error)


def _check_ours(store: Store) -> None:
    try:
        published(store)
    except DeliveryCorruptError as error:
        if not run_folders(store):
            raise DeliveryError(
                f"{store.where(CURRENT)} was not written by this library; choose another place "
                "for the nightly runs"
            ) from error


def retain(store: Store, keep: int) -> None:
    """Remove complete runs but the newest and the published one, and older unfinished ones."""
    complete = complete_runs(store)
    current = published(store)
    newest = complete[-keep:]
    for manifest in complete[:-keep]:
        if current is None or manifest.run_id != current.run_id:
            RunFolder(store, manifest.run_id).discard()
    for folder in run_folders(store):
        if newest and _is_unfinished_before(folder, newest[0].date):
            folder.discard()


def _is_unfinished_before(folder: RunFolder, date: dt.date) -> bool:
    try:
        plan = None if folder.revisions() else folder.plan()
    except DeliveryError as error:
        logger.warning("left alone: %s", error)
        return False
    return plan is not None and plan.date < date
