"""A session of Spark, and the engine that works in it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pyarrow as pa

from prodgen_rec.errors import MissingExtraError

try:
    from pyspark.sql import SparkSession
except ImportError as error:
    raise MissingExtraError("pyspark", "spark") from error

from prodgen_rec.events.sources import find_files
from prodgen_rec.nightly.settings import NightlySettings
from prodgen_rec.nightly.spark.answers import gave_up
from prodgen_rec.nightly.spark.log import SparkLog, checked_log
from prodgen_rec.nightly.spark.parts import make_parts
from prodgen_rec.nightly.studio import Studio
from prodgen_rec.nightly.writing import Run
from prodgen_rec.storage import sha256


@dataclass(frozen=True)
class SparkEngine:
    """A cluster of Spark; see `Engine`.

    Parameters
    ----------
    session
        In which it works.
    """

    session: SparkSession

    def hashes(self, source: str) -> list[str]:
        """SHA-256 of each file of a log."""
        files = [file.absolute() for file in find_files(source)]

        def hashed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                digests = [sha256(files[i]) for i in batch["id"].to_pylist()]
                yield pa.record_batch({"id": batch["id"], "digest": digests})

        with gave_up():
            shared = self.session.range(len(files), numPartitions=len(files))
            rows = shared.mapInArrow(hashed, "id long, digest string").collect()
        return [row["digest"] for row in sorted(rows)]

    def log(
        self, settings: NightlySettings, event_weights: Mapping[str, float]
    ) -> AbstractContextManager[SparkLog]:
        """Check a log; the good rows are kept on the disks of the cluster."""
        return checked_log(
            self.session,
            settings.events,
            columns=settings.columns,
            event_weights=event_weights,
            max_bad_fraction=settings.max_bad_fraction,
        )

    def make_parts(
        self, studio: Studio, log: SparkLog, run: Run, finished: Callable[[int], None]
    ) -> None:
        """Make the missing parts of a run and record them, in the order in which they come."""
        make_parts(studio, log, run, finished)


@contextmanager
def spark_engine(master: str, name: str, settings: Mapping[str, str]) -> Iterator[SparkEngine]:
    """Engine in the session of this process, or in one of its own that ends with the block.

    Parameters
    ----------
    master
        URL, such as ``local[2,4]`` or ``spark://host:7077``.
    name
        Of the run, for those who watch the cluster.
    settings
        Further settings of Spark.

    Raises
    ------
    OSError
        Spark does not start.
    """
    # Workers of another Python could not read what this one sends them.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with warnings.catch_warnings():
        # Nothing goes through pandas here.
        warnings.filterwarnings("ignore", "PySpark does not yet", FutureWarning)
        running = SparkSession.getActiveSession()
        with gave_up():
            session = running or _begun(master, name, settings)
        try:
            yield SparkEngine(session)
        finally:
            if running is None:
                session.stop()


def _begun(master: str, name: str, settings: Mapping[str, str]) -> SparkSession:
    builder = SparkSession.builder.master(master).appName(f"prodgen-rec nightly {name}")
    ours = {
        "spark.ui.showConsoleProgress": "false",  # the job has a bar of its own
        "spark.sql.session.timeZone": "UTC",
    }
    for key, value in (ours | dict(settings)).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
