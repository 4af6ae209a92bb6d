"""What makes the parts of a run: this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, Protocol, TypeVar

from prodgen_rec.events import Events, ReadReport
from prodgen_rec.nightly.settings import NightlySettings
from prodgen_rec.nightly.studio import Studio
from prodgen_rec.nightly.writing import Run


class Log(Protocol):
    """A checked log, ready to be read a share of its users at a time; see `ShardedEvents`."""

    @property
    def report(self) -> ReadReport:
        """Counts of the read."""

    @property
    def newest(self) -> datetime:
        """Time of the newest event, UTC."""

    def n_users(self, since: datetime | None = None) -> int:
        """Count the users who have an event at that time or after it; all where None."""

    def share(self, index: int, n_shares: int) -> Events:
        """Good rows of the users of one of n equal ranges of the hashes; each user's in order."""


AnyLog = TypeVar("AnyLog", bound=Log)


class Engine(Protocol[AnyLog]):
    """Reads a log and makes parts from it; all engines make the same bytes."""

    def hashes(self, source: str) -> list[str]:
        """SHA-256 of each file of a log."""

    def log(
        self, settings: NightlySettings, event_weights: Mapping[str, float]
    ) -> AbstractContextManager[AnyLog]:
        """Check the log of the settings; it is there until the block ends.

        Raises
        ------
        EventsError, ConfigError
            As in `read_events`.
        """

    def make_parts(
        self, studio: Studio, log: AnyLog, run: Run, finished: Callable[[int], None]
    ) -> None:
        """Make the missing parts of a run and record them.

        Parameters
        ----------
        studio
            Serves users.
        log
            Of this engine.
        run
            Takes the parts.
        finished
            Called with the index of each part that has been recorded.
        """


def engine_of(settings: NightlySettings) -> AbstractContextManager[Engine[Any]]:
    """The engine that settings name; it is there until the block ends."""
    if settings.engine == "spark":
        from prodgen_rec.nightly.spark import spark_engine

        return spark_engine(settings.master, settings.name, settings.spark)
    from prodgen_rec.nightly.local import LocalEngine

    return nullcontext(LocalEngine())
