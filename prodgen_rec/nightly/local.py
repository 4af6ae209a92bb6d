"""Making parts on this machine: a few threads, a few parts at a time, flat memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from prodgen_rec.events.shards import ShardedEvents, sharded
from prodgen_rec.events.sources import find_files
from prodgen_rec.nightly.making import PendingPart
from prodgen_rec.nightly.settings import NightlySettings
from prodgen_rec.nightly.studio import Studio
from prodgen_rec.nightly.writing import Run
from prodgen_rec.preferences.parallel import n_cpus, workers
from prodgen_rec.storage import sha256

_BLOCKS_AHEAD = 2
"""Blocks of users for each CPU that wait or are worked on while a part is written."""


class LocalEngine:
    """The machine that it runs on; see `Engine`."""

    def hashes(self, source: str) -> list[str]:
        """SHA-256 of each file of a log."""
        return [sha256(file) for file in find_files(source)]

    def log(
        self, settings: NightlySettings, event_weights: Mapping[str, float]
    ) -> AbstractContextManager[ShardedEvents]:
        """Check a log and put it into files by user."""
        return sharded(
            settings.events,
            columns=settings.columns,
            event_weights=event_weights,
            max_bad_fraction=settings.max_bad_fraction,
            folder=settings.scratch,
        )

    def make_parts(
        self, studio: Studio, log: ShardedEvents, run: Run, finished: Callable[[int], None]
    ) -> None:
        """Make the missing parts of a run and record them.

        Each CPU has a thread that takes a few users and does all there is to do for them, from the
        fold-in to the encoded bytes. Nothing waits for anything but the next users, so that all
        CPUs are busy all the time, and no queue can grow. One more thread works where another
        waits for the interpreter.
        """
        maker = studio.maker(log.newest)
        pending: deque[tuple[int, PendingPart]] = deque()
        enough = _BLOCKS_AHEAD * n_cpus()

        def write_first() -> None:
            index, part = pending.popleft()
            made = part.made()
            run.write_part(
                index, made.table, n_in=made.n_in, refused=made.refused, figures=made.figures
            )
            finished(index)

        with workers(n_cpus() + 1) as pool:
            for index in run.missing:
                pending.append((index, maker.begin(log.share(index, run.plan.n_parts), pool)))
                while sum(len(part.blocks) for _, part in list(pending)[1:]) >= enough:
                    write_first()
            while pending:
                write_first()
