"""The nightly job: from a bundle and a log to a published run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from prodgen_rec.errors import (
    EventsError,
    NothingToPublishError,
    QualityGateError,
)
from prodgen_rec.events import ReadReport
from prodgen_rec.hashing import fingerprint
from prodgen_rec.imagery.interrupts import terminable
from prodgen_rec.nightly.account import Account
from prodgen_rec.nightly.delta import publish_delta, require_deltalake
from prodgen_rec.nightly.documents import Manifest, PartRecord, Plan, counts_of
from prodgen_rec.nightly.engines import Engine, Log, engine_of
from prodgen_rec.nightly.offer import Offer, Reading
from prodgen_rec.nightly.quality import Summary
from prodgen_rec.nightly.settings import NightlySettings
from prodgen_rec.nightly.studio import Studio
from prodgen_rec.nightly.target import Target, Writer
from prodgen_rec.nightly.writing import Run
from prodgen_rec.preferences.parallel import workers

logger = logging.getLogger(__name__)

_N_TRIED = 256
"""Users who are served to tell how long all will take."""


class Watch(Protocol):
    """Is told how the job goes on."""

    def say(self, text: str) -> None:
        """One line for people."""

    def step(self, text: str) -> AbstractContextManager[None]:
        """What is being done."""

    def bar(self, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """How much of it is done; what it gives is called with the number just done."""

    def load_networks(self) -> None:
        """TensorFlow is about to be loaded, which takes seconds and may write to the terminal."""


class Silence:
    """Tells nobody."""

    def say(self, text: str) -> None:
        """Nothing."""

    def step(self, text: str) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()

    def bar(self, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Nothing."""
        return nullcontext(lambda n: None)

    def load_networks(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Forecast:
    """What a run would be.

    Attributes
    ----------
    run_id
        Its name.
    n_users, n_parts
        Users that are due, and parts.
    n_pictures
        Pictures that will be made, if nobody is refused.
    kernel
        What would compute and encode them.
    pictures_per_second, bytes_per_user
        Measured on some of the users.
    log
        Counts of the read.
    readings
        What became of the files of items and users, if there are any.
    """

    run_id: str
    n_users: int
    n_parts: int
    n_pictures: int
    kernel: str
    pictures_per_second: float
    bytes_per_user: float
    log: ReadReport
    readings: tuple[Reading, ...]

    @property
    def seconds(self) -> float:
        """That making all parts will take, about."""
        return self.n_pictures / self.pictures_per_second

    @property
    def n_bytes(self) -> int:
        """Size of all parts, about."""
        return round(self.bytes_per_user * self.n_users)


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes
    ----------
    manifest
        Of the run.
    n_made
        Parts that were made now; the others had been before.
    seconds
        Time by stage.
    log
        Counts of the read.
    complaints
        Of the gate, where they were accepted.
    """

    manifest: Manifest
    n_made: int
    seconds: dict[str, float]
    log: ReadReport
    complaints: list[str]


def forecast(settings: NightlySettings, watch: Watch | None = None) -> Forecast:
    """Say what a run would be; nothing is written.

    Raises
    ------
    ProdgenError
        What `run` would raise before it makes the first part.
    """
    with _night(settings, watch or Silence(), Account()) as night:
        n_shares, kernel = max(1, night.n_users // _N_TRIED), night.kernel
        with night.stage("trial", f"serving about {_N_TRIED} of the users"), workers() as pool:
            events, maker = night.log.share(0, n_shares), night.studio.maker(night.log.newest)
            maker.begin(events, pool).made()  # compiles what is compiled once
            start = time.perf_counter()
            made = maker.begin(events, pool).made()
            seconds = time.perf_counter() - start
        n_pictures = settings.recipe.n_pictures
        return Forecast(
            run_id=settings.name,
            n_users=night.n_users,
            n_parts=night.n_parts,
            n_pictures=night.n_users * n_pictures,
            kernel=kernel,
            pictures_per_second=max(made.n_in, 1) * n_pictures / seconds,
            bytes_per_user=made.table.nbytes / max(made.n_in, 1),
            log=night.log.report,
            readings=night.studio.offer.readings,
        )


def run(
    settings: NightlySettings, watch: Watch | None = None, account: Account | None = None
) -> Outcome:
    """Make a run and publish it, or go on with one that was interrupted.

    Killed at any instant, the same call goes on where it stopped, and what it publishes is the
    same to the byte. Called again after that, it changes nothing.

    Parameters
    ----------
    settings
        What to make from what.
    watch
        Is told how it goes on.
    account
        Is filled in as it goes on, and tells what is known where the job fails.

    Raises
    ------
    ConfigError, BundleError, EventsError, InputError
        Settings, bundle, log, or a file of items or users cannot be used; nothing was begun.
    NothingToPublishError
        Nobody is due, and an empty run is not allowed.
    LockHeldError, RunConflictError, DeliveryError
        See `Target.writer` and `Writer.begin`.
    QualityGateError
        All parts were made, and the run was not published.
    KeyboardInterrupt
        On Ctrl-C or SIGTERM; the same call goes on from the last finished part.
    OSError
        For instance a full disk; what is published is intact, and the same call goes on.
    """
    if settings.delta is not None:
        require_deltalake()
    with (
        terminable(),
        Target(settings.to).writer() as writer,
        _night(settings, watch or Silence(), account or Account()) as night,
    ):
        night.check_due()
        night.go_on_with(writer.plan(settings.name))
        delivery = writer.begin(
            settings.name,
            date=settings.date,
            inputs=night.inputs,
            n_parts=night.n_parts,
            seed=settings.recipe.seed,
            settings=settings.recipe.model_dump(mode="json"),
            kernel=night.kernel,
        )
        n_missing = len(delivery.missing)
        if n_missing:
            _make(night, delivery)
        was_complete = delivery.is_complete
        known = _compared(night, writer, delivery)
        if not was_complete:
            known.complaints = _judged(settings, known)
        with night.stage("publishing", f"publishing run {settings.name}"):
            manifest = delivery.publish(keep=settings.keep, allow_empty=settings.allow_empty)
        known.manifest, known.counts = manifest, manifest.counts
        night.log_event("published", users=manifest.counts.n_out, rows=manifest.rows)
        if settings.delta is not None:
            with night.stage("delta", f"copying to {settings.delta}"):
                publish_delta(settings.to, settings.delta)
        return Outcome(manifest, n_missing, known.seconds, night.log.report, known.complaints)


def _make(night: _Night, delivery: Run) -> None:
    missing, planned = len(delivery.missing), delivery.plan.n_parts
    n_users = round(night.n_users * missing / planned)
    with (
        night.stage("making", f"making {missing:,} of {planned:,} parts"),
        night.watch.bar(n_users, "users") as advance,
    ):

        def finished(index: int) -> None:
            part = delivery.finished[index]
            advance(part.counts.n_in)
            night.count(index, part)

        night.engine.make_parts(night.studio, night.log, delivery, finished)


def _compared(night: _Night, writer: Writer, delivery: Run) -> Account:
    """The account of the night, with the figures of its run and of the one before."""
    known, plan = night.account, delivery.plan
    published = writer.published()
    if published is not None and published.run_id == plan.run_id:
        earlier = [one for one in Target(night.settings.to).runs() if one.order < published.order]
        published = earlier[-1] if earlier else None
    if published is not None:
        known.before = Summary.of(published.run_id, published.parts)
    parts = delivery.finished.values()
    known.made, known.counts = Summary.of(plan.run_id, parts), counts_of(parts)
    return known


def _judged(settings: NightlySettings, known: Account) -> list[str]:
    """What the gate says of a run that is to be published; an error unless that is accepted."""
    complaints = [] if known.made is None else settings.gate.complaints(known.made, known.before)
    if complaints and not settings.accept:
        raise QualityGateError(
            f"run {settings.name} was made and not published: {'; '.join(complaints)}; look at its "
            "parts, and publish it as it is by the same command with --accept"
        )
    return complaints


@dataclass(eq=False)
class _Night:
    """What a run is made from, as far as it was needed.

    Attributes
    ----------
    settings, watch, account
        As given.
    """

    settings: NightlySettings
    watch: Watch
    account: Account
    studio: Studio = field(init=False)
    engine: Engine[Any] = field(init=False)
    log: Log = field(init=False)
    inputs: str = field(init=False)
    n_users: int = field(init=False)

    @contextmanager
    def stage(self, name: str, text: str) -> Iterator[None]:
        """Time a stage, and say what is being done."""
        self.log_event("stage begins", stage=name)
        with self.watch.step(text), self.account.stage(name):
            yield
        self.log_event("stage ends", stage=name, seconds=round(self.account.seconds[name], 3))

    def log_event(self, message: str, **about: Any) -> None:
        """A line of the log, with the run that it is about."""
        logger.info(message, extra={"run_id": self.settings.name, **about})

    def count(self, index: int, part: PartRecord) -> None:
        """A part is on the disk."""
        self.account.add(part)
        self.log_event("part written", part=index, users=part.counts.n_in, rows=part.rows)

    def read_offer(self) -> None:
        """See what lists may name, and what is known of users."""
        if not any((self.settings.candidates, self.settings.blocked, self.settings.users)):
            return
        with self.stage("offer", "reading files of items and users"):
            self.studio.offer = Offer.read(self.settings, self.studio.personalizer)
        self.account.readings = self.studio.offer.readings
        for one in self.account.readings:
            self.watch.say(f"  {one}")
            self.log_event("file read", **one._asdict())

    @property
    def n_parts(self) -> int:
        """Parts of the run."""
        return self.settings.recipe.n_parts(self.n_users)

    def check_due(self) -> None:
        """Refuse a night without users."""
        if self.n_users or self.settings.allow_empty:
            return
        since = self.settings.recipe.since
        raise NothingToPublishError(
            f"{self.settings.events}: no user has an event since {since}, the newest is of "
            f"{self.log.newest}; what is published stays; see whether the events arrived, or allow "
            "an empty run"
        )

    def go_on_with(self, before: Plan | None) -> None:
        """Compute with what a run was begun with, where there is one."""
        if before is not None and self.settings.kernel == "auto":
            self.watch.load_networks()
            self.studio.go_on_with(before.kernel)

    @cached_property
    def kernel(self) -> str:
        """What computes and encodes pictures; starts it."""
        self.watch.load_networks()
        with self.stage("kernel", "starting the image model"):
            self.account.kernel = self.studio.kernel
            return self.account.kernel


@contextmanager
def _night(settings: NightlySettings, watch: Watch, account: Account) -> Iterator[_Night]:
    """Open a bundle and read a log, which stays on disk until the block ends."""
    night = _Night(settings, watch, account)
    account.run_id = settings.name
    with ExitStack() as stack:
        with night.stage("bundle", f"opening {settings.bundle}"):
            night.studio = Studio(settings.bundle, settings.recipe, settings.kernel)
        night.read_offer()
        with night.stage("log", f"reading {settings.events}"):
            night.engine = stack.enter_context(engine_of(settings))
            files = night.engine.hashes(settings.events)
            weights = night.studio.personalizer.config.event_weights
            night.log = stack.enter_context(night.engine.log(settings, weights))
            if night.engine.hashes(settings.events) != files:
                raise EventsError(
                    f"{settings.events} was changed while it was being read; run again when its "
                    "writer is done"
                )
            night.n_users = night.log.n_users(settings.recipe.since)
        watch.say(f"  {night.log.report}")
        account.log = night.log.report
        night.log_event(
            "log read",
            rows=account.log.n_rows,
            bad=account.log.n_bad,
            reasons=dict(account.log.reasons),
            users=night.n_users,
        )
        night.inputs = fingerprint(
            night.studio.fingerprint,
            *files,
            repr(sorted(settings.columns.items())),
            night.studio.offer.fingerprint,
        )
        yield night
