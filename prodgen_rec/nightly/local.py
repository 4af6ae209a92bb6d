"""Making parts on this machine: a few threads, two parts at a time, flat memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from prodgen_rec.events.shards import ShardedEvents
from prodgen_rec.nightly.making import MadePart, Maker, PendingPart
from prodgen_rec.nightly.writing import Run
from prodgen_rec.preferences.parallel import workers

_AT_ONCE = 2
"""Parts that are begun and not yet written: while one is written, threads work on the next."""


def make_parts(
    maker: Maker, log: ShardedEvents, run: Run, finished: Callable[[int, MadePart], None]
) -> None:
    """Make the missing parts of a run and write them.

    Each CPU has a thread that takes a few users and does all there is to do for them, from the
    fold-in to the encoded bytes. Nothing waits for anything but the next users, so that all CPUs
    are busy all the time, and no queue can grow.

    Parameters
    ----------
    maker
        Serves users.
    log
        Events by user.
    run
        Takes the parts.
    finished
        Called with the index of each part that has been written.
    """
    pending: deque[tuple[int, PendingPart]] = deque()

    def write_first() -> None:
        index, part = pending.popleft()
        made = part.made()
        run.write_part(
            index, made.table, n_in=made.n_in, refused=made.refused, figures=made.figures
        )
        finished(index, made)

    with workers() as pool:
        for index in run.missing:
            pending.append((index, maker.begin(log.share(index, run.plan.n_parts), pool)))
            if len(pending) == _AT_ONCE:
                write_first()
        while pending:
            write_first()
