"""The nightly run, and what it delivers, for scripts and for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodgen_rec.cli.console import Reporter, duration
from prodgen_rec.cli.startup import start_tensorflow
from prodgen_rec.errors import DeliveryCorruptError, DeliveryError, QualityGateError

if TYPE_CHECKING:
    from prodgen_rec.cli.telling import Told
    from prodgen_rec.nightly import Manifest
    from prodgen_rec.nightly.offer import Reading
    from prodgen_rec.nightly.settings import NightlySettings

Result = tuple[dict[str, Any], str]
"""What came out, for scripts, and in words."""


def forecast(config: Path | None, given: Mapping[str, Any], report: Reporter) -> Result:
    """What a run would be."""
    from prodgen_rec.nightly import job

    made = job.forecast(_settings(config, given), _Watch(report))
    found = {
        "run_id": made.run_id,
        "users": made.n_users,
        "parts": made.n_parts,
        "pictures": made.n_pictures,
        "kernel": made.kernel,
        "pictures_per_second": made.pictures_per_second,
        "seconds": made.seconds,
        "bytes": made.n_bytes,
        "log": _log(made.log),
        "files": _files(made.readings),
    }
    files = "".join(f"\n{one}" for one in made.readings)
    return found, (
        f"run {made.run_id} would be {made.n_pictures:,} pictures for {made.n_users:,} users in "
        f"{made.n_parts:,} parts: about {duration(made.seconds)} at "
        f"{made.pictures_per_second:,.0f} pictures a second, and {made.n_bytes / 1e6:,.0f} MB; "
        f"computed by {made.kernel}{files}"
    )


def nightly(config: Path | None, given: Mapping[str, Any], told: Told, report: Reporter) -> Result:
    """Make a run and publish it."""
    from prodgen_rec.nightly import job

    told.check()
    with told.by() as account:
        settings = _settings(config, given)
        try:
            outcome = job.run(settings, _Watch(report), account)
        except QualityGateError as error:
            told.page(account, settings, f"Not published: {error}")
            raise
        told.page(account, settings, f"Published at {settings.to}.")
    manifest = outcome.manifest
    for complaint in outcome.complaints:
        report.say(f"accepted: {complaint}")
    found = _run(manifest) | {
        "to": settings.to,
        "parts_made": outcome.n_made,
        "kernel": manifest.kernel,
        "seconds": outcome.seconds,
        "log": _log(outcome.log),
        "files": _files(account.readings),
        "accepted": outcome.complaints,
    }
    return found, f"{settings.to}: {_in_words(manifest)}"


def show(place: str) -> Result:
    """Which runs there are."""
    from prodgen_rec.nightly import Target, latest

    published = latest(place).manifest.run_id
    runs = Target(place).runs()
    lines = [
        f"{'*' if one.run_id == published else ' '} {_in_words(one)}" for one in reversed(runs)
    ]
    return {"published": published, "runs": [_run(one) for one in runs]}, "\n".join(lines)


def verify(place: str) -> Result:
    """Compare all that lies there with what was written."""
    from prodgen_rec import nightly

    _check_begun(place)
    found = nightly.verify(place)
    if found.problems:
        first = found.problems[0]
        raise DeliveryCorruptError(
            f"{len(found.problems)} problems, the first: {first.file}: {first.what}"
        )
    return {"problems": []}, f"{place}: all is as it was written"


def rollback(place: str, to: str | None) -> Result:
    """Publish an older run again."""
    from prodgen_rec import nightly

    _check_begun(place)
    manifest = nightly.rollback(place, to)
    return _run(manifest), f"{place}: {_in_words(manifest)}"


def delta(place: str, table: str) -> Result:
    """Copy what is published to a Delta table."""
    from prodgen_rec import nightly

    version = nightly.publish_delta(place, table)
    said = "held the run already" if version is None else f"holds the run in version {version}"
    return {"table": table, "version": version}, f"{table}: {said}"


def forget_user(place: str, user: str, table: str | None) -> Result:
    """Remove a user from every kept run, and from a Delta table."""
    from prodgen_rec import nightly

    _check_begun(place)
    gone = nightly.forget_user(place, user)
    found = {"user_id": gone.user_id, "rows": gone.rows, "parts_read": gone.n_parts_read}
    if table is not None:
        found["rows_of_table"] = nightly.forget_in_delta(table, user)
    n_rows = sum(gone.rows.values())
    return found, (
        f"{place}: {n_rows:,} rows of {user} were removed from {len(gone.rows)} runs; "
        f"{gone.n_parts_read:,} parts were read again, none holds the user"
    )


def _check_begun(place: str) -> None:
    """Refuse a place without a run: a name with a slip would be found whole, or free of a user."""
    from prodgen_rec.nightly import Target

    if Target(place).is_untouched:
        raise DeliveryError(
            f"{place} holds no run, whole or not; name the folder or URL that `nightly` writes to"
        )


@dataclass(frozen=True)
class _Watch:
    """Tells people how the job goes on."""

    report: Reporter

    def say(self, text: str) -> None:
        """One line for people."""
        self.report.say(text)

    def step(self, text: str) -> AbstractContextManager[None]:
        """What is being done."""
        return self.report.step(text)

    def bar(self, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """How much of it is done."""
        return self.report.bar(total, unit)

    def load_networks(self) -> None:
        """TensorFlow is about to be loaded."""
        start_tensorflow(self.report)


def _settings(config: Path | None, given: Mapping[str, Any]) -> NightlySettings:
    """Settings of a file and the environment, with those of the command line over them."""
    from prodgen_rec.nightly.settings import NightlySettings

    return NightlySettings.read(config, **given)


def _run(manifest: Manifest) -> dict[str, Any]:
    counts = manifest.counts
    return {
        "run_id": manifest.run_id,
        "date": manifest.date.isoformat(),
        "users_in": counts.n_in,
        "users_out": counts.n_out,
        "refused": counts.refused,
        "rows": manifest.rows,
        "parts": manifest.n_parts,
        "bytes": sum(part.n_bytes for part in manifest.parts),
    }


def _in_words(manifest: Manifest) -> str:
    counts = manifest.counts
    refused = ", ".join(f"{n:,} {reason}" for reason, n in counts.refused.items())
    return (
        f"run {manifest.run_id}: {counts.n_out:,} of {counts.n_in:,} users"
        f"{f' ({refused})' if refused else ''}, {manifest.rows:,} rows "
        f"in {manifest.n_parts:,} parts"
    )


def _files(readings: Iterable[Reading]) -> list[dict[str, Any]]:
    return [one._asdict() for one in readings]


def _log(report: Any) -> dict[str, Any]:
    return {
        "rows": report.n_rows,
        "good": report.n_good,
        "bad": report.n_bad,
        "reasons": dict(report.reasons),
    }
