"""What is known of a nightly job while it goes on and after it, for those who watch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prodgen_rec.events import ReadReport
from prodgen_rec.nightly.documents import Counts, Manifest, PartRecord
from prodgen_rec.nightly.quality import Summary, drift

if TYPE_CHECKING:
    from prodgen_rec.nightly.offer import Reading


@dataclass(eq=False)
class Account:
    """What is known of a job, as far as it came; who watches it keeps one and gives it to `run`.

    Nothing of it is written beside the rows of a run, so that times do not alter a byte there.

    Attributes
    ----------
    run_id
        Name of the run.
    seconds
        Time by stage, that of a stage which failed included.
    log
        Counts of the read.
    readings
        What became of the files of items and users, if there are any.
    kernel
        What computes and encodes the pictures.
    n_parts, n_users, n_pictures, n_bytes
        Parts made by this job, not those that it found, and what is in them.
    counts
        Of users, once all parts are made.
    made, before
        Figures of the run, and of the one that was published before it.
    complaints
        Of the gate, where they were accepted.
    manifest
        Of the run, once it is published.
    """

    run_id: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    log: ReadReport | None = None
    readings: tuple[Reading, ...] = ()
    kernel: str = ""
    n_parts: int = 0
    n_users: int = 0
    n_pictures: int = 0
    n_bytes: int = 0
    counts: Counts | None = None
    made: Summary | None = None
    before: Summary | None = None
    complaints: list[str] = field(default_factory=list)
    manifest: Manifest | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to that of a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def add(self, part: PartRecord) -> None:
        """Count a part that this job has made."""
        self.n_parts += 1
        self.n_users += part.counts.n_in
        self.n_pictures += int(part.figures["pictures"])  # type: ignore[arg-type]
        self.n_bytes += part.n_bytes

    @property
    def pictures_per_second(self) -> float | None:
        """From the events of users to the bytes on disk; None where this job made none."""
        seconds = self.seconds.get("making", 0.0)
        return self.n_pictures / seconds if self.n_pictures and seconds else None

    @property
    def drift(self) -> float | None:
        """Between the scores of the run and of the one before, see `Gate`; None without both."""
        if self.made is None or self.before is None:
            return None
        return drift(self.made.figures, self.before.figures)
