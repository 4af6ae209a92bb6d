"""The place where runs are published: beginning a run, going back."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prodgen_rec.bundle import library_versions
from prodgen_rec.errors import DeliveryCorruptError, DeliveryError
from prodgen_rec.nightly.documents import CURRENT, Manifest, Plan, built, checked_run_id
from prodgen_rec.nightly.folders import (
    RunFolder,
    complete_runs,
    point_to,
    published,
    recover,
    run_folders,
)
from prodgen_rec.nightly.locks import held
from prodgen_rec.nightly.reading import latest_in
from prodgen_rec.nightly.stores import Store, store_of
from prodgen_rec.nightly.verification import existing, problems_of
from prodgen_rec.nightly.writing import Run

logger = logging.getLogger(__name__)


class Target:
    """A folder, or a place on an object store, that runs are published to.

    ::

        CURRENT                          the published run and the SHA-256 of its manifest
        runs/2026-11-26/manifest.json    written last: a run with a manifest is complete
        runs/2026-11-26/part-00000.parquet …

    Parameters
    ----------
    place
        Folder, or any URL that fsspec understands.
    """

    def __init__(self, place: Path | str) -> None:
        self.place = place
        self._store = store_of(place)

    @property
    def is_untouched(self) -> bool:
        """Whether no run was ever begun here; nothing is written by looking."""
        return not run_folders(self._store) and self._store.read_if_there(CURRENT) is None

    def runs(self) -> list[Manifest]:
        """Manifests of the complete runs that can be read, oldest first."""
        return complete_runs(self._store)

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Be the only writer of this target; what a killed one had begun is finished first.

        Raises
        ------
        LockHeldError
            Another process writes to this target.
        DeliveryError
            What lies there was not written by this library.

        Examples
        --------
        >>> import tempfile
        >>> import pyarrow as pa
        >>> from prodgen_rec.nightly import part_of
        >>> target = Target(tempfile.mkdtemp())
        >>> plan = {"date": dt.date(2026, 11, 26), "inputs": "5ba1", "n_parts": 2}
        >>> users = ["U-1", "U-2", "U-3"]
        >>> belongs = part_of(users, n_parts=2)
        >>> with target.writer() as writer:
        ...     run = writer.begin("2026-11-26", **plan)
        ...     for index in run.missing:
        ...         rows = pa.table({"user_id": users, "rank": [1, 1, 1]}).filter(belongs == index)
        ...         run.write_part(index, rows, n_in=len(rows) + 1, refused={"no history": 1})
        ...     run.publish().counts
        Counts(n_in=5, n_out=3, refused={'no history': 2})
        """
        with held(self._store):
            recover(self._store)
            yield Writer(self._store)

    def rollback(self, to: str | None = None) -> Manifest:
        """Publish an older run again, after verifying all of it.

        The run that was published is withdrawn: the same name is not published again by a
        scheduler that repeats its night, only by ``rollback`` to it.

        Parameters
        ----------
        to
            Name of the run; the newest one before the published one that was not withdrawn,
            where None.

        Raises
        ------
        LockHeldError
            A run is being written.
        DeliveryError
            There is no such run, or none to go back to.
        DeliveryCorruptError
            It is damaged, or ``CURRENT`` is and no run was named.
        """
        with held(self._store):
            recover(self._store)
            name = self._before_current() if to is None else to
            folder = existing(self._store, name)
            if problems := problems_of(folder):
                raise DeliveryCorruptError(
                    f"run {name} cannot be published again: "
                    f"{'; '.join(f'{one.file}: {one.what}' for one in problems)}; "
                    "name another one"
                )
            point_to(folder, folder.revisions()[-1], self._withdrawn())
            manifest = folder.manifest()
            assert manifest is not None  # noqa: S101
            return manifest

    def _before_current(self) -> str:
        current = published(self._store)
        names = [manifest.run_id for manifest in self.runs()]
        is_known = current is not None and current.run_id in names
        before = names[: names.index(current.run_id)] if current and is_known else []
        good = [name for name in before if current and name not in current.withdrawn]
        if not good:
            start = current.run_id if current else "none"
            raise DeliveryError(
                f"{self._store.where()}: no run to go back to from {start}; complete are "
                f"{', '.join(names) or 'none'}; make a run, or name the one to go to"
            )
        return good[-1]

    def _withdrawn(self) -> set[str]:
        try:
            current = published(self._store)
        except DeliveryCorruptError:  # what is being repaired
            return set()
        return {current.run_id, *current.withdrawn} if current else set()


class Writer:
    """The only writer of a target while its block lasts; `Target.writer` gives it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def plan(self, run_id: str) -> Plan | None:
        """What a run, complete or not, was made from.

        Returns
        -------
        Plan or None
            The manifest where the run is complete, None where there is no such run or what it
            was made from cannot be read.

        Raises
        ------
        InputError
            The name cannot be a folder's.
        """
        folder = RunFolder(self._store, run_id)
        try:
            return folder.manifest() or folder.plan()
        except DeliveryError as error:
            logger.warning("taken for no run: %s", error)
            return None

    def published(self) -> Manifest | None:
        """Manifest of the published run; None where nothing is published or it is damaged.

        Raises
        ------
        DeliveryVersionError
            A newer version of the library wrote it.
        """
        try:
            return latest_in(self._store).manifest if published(self._store) else None
        except DeliveryCorruptError as error:
            logger.warning("nothing is taken to be published: %s", error)
            return None

    def begin(
        self,
        run_id: str,
        *,
        date: dt.date,
        inputs: str,
        n_parts: int,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        kernel: str = "",
    ) -> Run:
        """Begin a run, or go on with it.

        The same name and the same plan go on where a killed process stopped, and the result is
        the same to the byte. An unfinished run with another plan is begun anew; a complete one
        is refused.

        Parameters
        ----------
        run_id
            Its name, 1 to 100 of ``A-Za-z0-9._-``.
        date
            The night it is for; runs are ordered by it.
        inputs
            Fingerprint of everything that is read.
        n_parts
            How many parts there will be; `part_of` says which users belong into which.
        seed, settings, kernel
            What else the rows depend on; ``settings`` are JSON values.

        Raises
        ------
        InputError
            The name cannot be a folder's, or a value does not fit.
        RunConflictError
            A complete run of this name was made from something else, or was withdrawn by
            `rollback`.
        DeliveryCorruptError
            A complete run of this name is damaged.
        """
        plan = built(
            Plan,
            run_id=checked_run_id(run_id),
            date=date,
            inputs=inputs,
            n_parts=n_parts,
            seed=seed,
            settings=dict(settings or {}),
            kernel=kernel,
            versions=library_versions(),
        )
        return Run(self._store, plan)


def rollback(place: Path | str, to: str | None = None) -> Manifest:
    """Publish an older run again: `Target.rollback`."""
    return Target(place).rollback(to)
