"""Figures of a nightly job for Prometheus, in the format of its textfile collector."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, Info, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from prodgen_rec._version import __version__
from prodgen_rec.nightly.account import Account
from prodgen_rec.storage import atomic_file

PREFIX = "prodgen_rec_nightly"
_SUCCESS = f"{PREFIX}_last_success_timestamp_seconds"


def write_metrics(file: Path, account: Account, *, exit_code: int) -> None:
    """Write what is known of a job, whole or not at all, also where it failed.

    Parameters
    ----------
    file
        Ends in ``.prom`` for the textfile collector of node_exporter. The time of the last
        success is taken over from what stands there, where the job failed.
    account
        As the job left it. What is not known is left out.
    exit_code
        0 where the run is published.

    Raises
    ------
    OSError
        The file cannot be written; what stood there is intact.
    """
    now = time.time()
    metrics = _Metrics()
    metrics.gauge("exit_code", "How the last job ended, 0 where its run is published", exit_code)
    metrics.gauge("last_end_timestamp_seconds", "When the last job ended", now)
    metrics.gauge(
        "last_success_timestamp_seconds",
        "When a job last ended with exit code 0, 0 where none is known",
        _last_success(file) if exit_code else now,
    )
    about = {"run_id": account.run_id, "kernel": account.kernel, "version": __version__}
    Info(f"{PREFIX}_run", "What the last job made", registry=metrics.registry).info(about)
    _work(metrics, account)
    _quality(metrics, account)
    with atomic_file(file) as temporary:
        temporary.write_bytes(generate_latest(metrics.registry))


def _work(metrics: _Metrics, account: Account) -> None:
    metrics.labelled("stage_seconds", "Time of the last job by stage", account.seconds, "stage")
    metrics.gauge("parts_made", "Parts that the last job made, not those it found", account.n_parts)
    metrics.gauge("pictures_made", "Pictures in those parts", account.n_pictures)
    metrics.gauge("bytes_made", "Size of those parts", account.n_bytes)
    if account.pictures_per_second is not None:
        metrics.gauge(
            "pictures_per_second",
            "Pictures made over the time of the stage that makes them",
            account.pictures_per_second,
        )
    if account.log is not None:
        rows = {"good": account.log.n_good, "bad": account.log.n_bad}
        metrics.labelled("log_rows", "Rows of the behaviour log", rows, "quality")
        metrics.labelled(
            "log_bad_rows", "Bad rows of the log by reason", account.log.reasons, "reason"
        )


def _quality(metrics: _Metrics, account: Account) -> None:
    counts = account.counts
    if counts is not None:
        users = {"in": counts.n_in, "out": counts.n_out}
        metrics.labelled("users", "Users who were due, and those served", users, "side")
        metrics.labelled("users_refused", "Users not served, by reason", counts.refused, "reason")
    if account.drift is not None:
        metrics.gauge(
            "score_drift",
            "Largest distance between the distribution functions of scores of this run and the "
            "one before, 0 to 1",
            account.drift,
        )


class _Metrics:
    """Gauges in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def gauge(self, name: str, text: str, value: float) -> None:
        """One number."""
        Gauge(f"{PREFIX}_{name}", text, registry=self.registry).set(value)

    def labelled(self, name: str, text: str, values: Mapping[str, float], label: str) -> None:
        """A number for each value of a label."""
        gauge = Gauge(f"{PREFIX}_{name}", text, [label], registry=self.registry)
        for key, value in values.items():
            gauge.labels(key).set(value)


def _last_success(file: Path) -> float:
    """The time that a file of metrics says, 0 where it says none."""
    try:
        families = list(text_string_to_metric_families(file.read_text("utf-8")))
    except (OSError, ValueError):
        return 0.0
    samples = [one for family in families for one in family.samples if one.name == _SUCCESS]
    return samples[0].value if samples else 0.0
