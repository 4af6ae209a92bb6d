"""The place where runs are published: beginning a run, going back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prodgen_rec.bundle import library_versions
from prodgen_rec.errors import DeliveryCorruptError, DeliveryError
from prodgen_rec.nightly.documents import Manifest, Plan, built, checked_run_id
from prodgen_rec.nightly.folders import complete_runs, point_to, published, recover
from prodgen_rec.nightly.locks import held
from prodgen_rec.nightly.stores import store_of
from prodgen_rec.nightly.verification import existing, problems_of
from prodgen_rec.nightly.writing import Run


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

    def runs(self) -> list[Manifest]:
        """Manifests of the complete runs that can be read, oldest first."""
        return complete_runs(self._store)

    @contextmanager
    def run(
        self,
        run_id: str,
        *,
        date: dt.date,
        inputs: str,
        n_parts: int,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        kernel: str = "",
    ) -> Iterator[Run]:
        """Begin a run, or go on with it, as the only writer of this target.

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
            How many parts there will be.
        seed, settings, kernel
            What else the rows depend on; ``settings`` are JSON values.

        Raises
        ------
        InputError
            The name cannot be a folder's, or a value does not fit.
        LockHeldError
            Another process writes to this target.
        RunConflictError
            A complete run of this name was made from something else, or was withdrawn by
            `rollback`.
        DeliveryCorruptError
            A complete run of this name is damaged.

        Examples
        --------
        >>> import tempfile
        >>> import pyarrow as pa
        >>> target = Target(tempfile.mkdtemp())
        >>> plan = {"date": dt.date(2026, 11, 26), "inputs": "5ba1", "n_parts": 2}
        >>> with target.run("2026-11-26", **plan) as run:
        ...     for index in run.missing:
        ...         rows = pa.table({"user_id": [f"U-{index}"], "rank": [1]})
        ...         run.write_part(index, rows, n_in=2, refused={"no event that counts": 1})
        ...     run.publish().counts
        Counts(n_in=4, n_out=2, refused={'no event that counts': 2})
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
        with held(self._store):
            recover(self._store)
            yield Run(self._store, plan)

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


def rollback(place: Path | str, to: str | None = None) -> Manifest:
    """Publish an older run again: `Target.rollback`."""
    return Target(place).rollback(to)
