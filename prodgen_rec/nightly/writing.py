"""Writing a run, part by part, and publishing it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from prodgen_rec.errors import (
    DeliveryCorruptError,
    DeliveryError,
    InputError,
    NothingToPublishError,
    RunConflictError,
)
from prodgen_rec.nightly.documents import (
    PLAN,
    Manifest,
    PartRecord,
    Plan,
    Published,
    added,
    built,
    part_name,
    record_name,
)
from prodgen_rec.nightly.folders import (
    RunFolder,
    complete_runs,
    point_to,
    published,
    retain,
)
from prodgen_rec.nightly.stores import Store
from prodgen_rec.nightly.workers import PartWriter

logger = logging.getLogger(__name__)


class Run:
    """A run that is being written; `Writer.begin` gives it.

    Attributes
    ----------
    plan
        What it is made from.
    part_writer
        Writes the files of its parts, in any process.
    finished
        Parts that need not be made again, by index; their hashes have been verified.
    """

    def __init__(self, store: Store, plan: Plan) -> None:
        self._folder = RunFolder(store, plan.run_id)
        self.plan = plan
        self.part_writer = PartWriter(self._folder, plan.n_parts)
        self._manifest = self._folder.manifest()
        self.finished: dict[int, PartRecord] = {}
        if self._manifest:
            self._go_back_to(self._manifest)
        else:
            self._go_on()

    @property
    def is_complete(self) -> bool:
        """Whether all was made before, so that only `publish` is left to call."""
        return self._manifest is not None

    @property
    def missing(self) -> list[int]:
        """Indices of the parts that are still to be made, ascending."""
        return [index for index in range(self.plan.n_parts) if index not in self.finished]

    def write_part(
        self,
        index: int,
        table: pa.Table,
        *,
        n_in: int,
        refused: Mapping[str, int] | None = None,
        figures: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a part here: `PartWriter.write`, and then `accept`; both say what is refused.

        When this returns the part outlives a kill and a power cut.
        """
        self._check_missing(index)
        record = self.part_writer.write(index, table, n_in=n_in, refused=refused, figures=figures)
        self.accept(index, record)

    def accept(self, index: int, record: PartRecord) -> None:
        """Record a part that was written, so that it is finished and outlives a kill.

        The bytes are not read again: that the file is there and as long as recorded is looked
        at now, its hash when the run is taken up again and by every reader.

        Parameters
        ----------
        index
            One of the missing parts, in any order.
        record
            What `PartWriter.write` has returned, in whichever process.

        Raises
        ------
        InputError
            The part is finished or not planned, the record is of another part, or the columns
            are not those of the other parts.
        DeliveryCorruptError
            The file is not there, or is of another length.
        OSError
            As for `PartWriter.write`.
        """
        self._check_missing(index)
        if record.name != part_name(index):
            raise InputError(
                f"part {index}: expected the record of {part_name(index)}, got that "
                f"of {record.name}; pass what was returned for this part"
            )
        other = next(iter(self.finished.values()), record)  # which all others are like
        if other.columns != record.columns:
            raise InputError(
                f"{record.name} has the columns {record.columns}, {other.name} has "
                f"{other.columns}; all parts need the same"
            )
        self._folder.check_size(record)
        self._folder.write(record_name(index), record.text().encode())
        self.finished[index] = record

    def publish(
        self,
        *,
        keep: int = 7,
        refused: Mapping[str, int] | None = None,
        figures: Mapping[str, Any] | None = None,
        allow_empty: bool = False,
    ) -> Manifest:
        """Complete the run and let readers see it.

        Only forward: where a newer run is published, by date and then by name, this one is
        completed and that one stays. `rollback` is for going back.

        Parameters
        ----------
        keep
            How many complete runs stay, at least 1: the newest, and always the published one.
        refused
            Users who were refused before they came into a part, by reason.
        figures
            JSON values for the manifest.
        allow_empty
            Publish a run without a single row.

        Raises
        ------
        DeliveryError
            Parts are missing.
        NothingToPublishError
            There are no rows, and that was not allowed.
        OSError
            For instance a full disk; readers see the run before, or this one, whole.
        """
        if keep < 1:
            raise InputError(f"keep={keep}: at least 1 run, the published one, is kept")
        if self._manifest is None:
            self._manifest = self._complete(refused or {}, dict(figures or {}), allow_empty)
        store = self._folder.store
        current = _published_or_none(store)
        if _is_newer(store, current, self._manifest):
            logger.warning("run %s is published, it is newer than this one", current)
        else:
            known = {manifest.run_id for manifest in complete_runs(store)}
            withdrawn = known & set(current.withdrawn) if current else set()
            point_to(self._folder, self._manifest.revision, withdrawn)
        self._folder.settle(self._manifest)
        retain(store, keep)
        return self._manifest

    def _check_missing(self, index: int) -> None:
        if index in self.finished or not 0 <= index < self.plan.n_parts:
            raise InputError(
                f"{part_name(index)}: expected one of the {len(self.missing)} missing parts of "
                f"{self.plan.n_parts}; ask run.missing which they are"
            )

    def _go_back_to(self, manifest: Manifest) -> None:
        """Take up a run that is complete already."""
        current = _published_or_none(self._folder.store)
        if current and manifest.run_id in current.withdrawn:
            raise RunConflictError(
                f"{self._folder.where()}: a rollback turned away from this run; make another one "
                f"under another name, or publish it again by rollback(to={manifest.run_id!r})"
            )
        if differ := self.plan.differences(manifest):
            raise RunConflictError(
                f"{self._folder.where()} is complete and was made from something else: "
                f"{', '.join(differ)}; give this run another name"
            )
        for record in manifest.parts:
            self._folder.read_part(record)
        self.finished = dict(enumerate(manifest.parts))

    def _go_on(self) -> None:
        """Take up an unfinished run, or begin one."""
        try:
            before = self._folder.plan()
        except DeliveryError as error:
            logger.warning("the run is begun anew: %s", error)
            before = None
        if before and not self.plan.differences(before):
            self.finished = self._folder.finished(self.plan.n_parts)
            return
        if before:
            differ = ", ".join(self.plan.differences(before))
            logger.warning("%s: begun anew, its %s changed", self._folder.where(), differ)
        self._folder.discard()
        self._folder.write(PLAN, self.plan.text().encode())

    def _complete(
        self, refused: Mapping[str, int], figures: dict[str, Any], allow_empty: bool
    ) -> Manifest:
        if self.missing:
            raise DeliveryError(
                f"{self._folder.where()}: {len(self.missing)} of {self.plan.n_parts} parts are "
                f"missing, the first is {part_name(self.missing[0])}; write them before publishing"
            )
        records = [self.finished[index] for index in range(self.plan.n_parts)]
        if not allow_empty and not any(record.rows for record in records):
            raise NothingToPublishError(
                f"{self._folder.where()} has no rows; what is published stays; see whether the "
                "events arrived, or allow an empty run"
            )
        counts = [record.counts for record in records]
        manifest = built(
            Manifest,
            **self.plan.model_dump(exclude={"seal"}),
            parts=tuple(records),
            counts={
                "n_in": sum(one.n_in for one in counts) + sum(refused.values()),
                "n_out": sum(one.n_out for one in counts),
                "refused": added(refused, *(one.refused for one in counts)),
            },
            figures=figures,
        )
        self._folder.write(manifest.file_name, manifest.text().encode())
        return manifest


def _published_or_none(store: Store) -> Published | None:
    """What is published; a damaged file that says it is overwritten by the next publication."""
    try:
        return published(store)
    except DeliveryCorruptError as error:
        logger.warning("nothing is taken to be published: %s", error)
        return None


def _is_newer(store: Store, current: Published | None, manifest: Manifest) -> bool:
    if current is None or current.run_id == manifest.run_id:
        return False
    try:
        standing = RunFolder(store, current.run_id).manifest()
    except DeliveryCorruptError:
        return False
    return standing is not None and standing.order > manifest.order
