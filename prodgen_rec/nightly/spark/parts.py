"""Parts that worker processes of Spark make and write; their records come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.accumulators import Accumulator, AccumulatorParam
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as f

from prodgen_rec.errors import BundleError, DeliveryError, ProdgenError
from prodgen_rec.events import Events
from prodgen_rec.nightly.documents import PartRecord
from prodgen_rec.nightly.making import Maker
from prodgen_rec.nightly.offer import Offer
from prodgen_rec.nightly.recipe import Recipe
from prodgen_rec.nightly.spark.answers import gave_up, packed, unpacked
from prodgen_rec.nightly.spark.log import POSITION, SparkLog, share_of
from prodgen_rec.nightly.studio import Studio
from prodgen_rec.nightly.workers import PartWriter
from prodgen_rec.nightly.writing import Run
from prodgen_rec.preferences.parallel import workers

if TYPE_CHECKING:
    from prodgen_rec.imagery.kernels import Kind

_PART: Final = "part"
_SECONDS: Final = 0.2
"""Between two looks at what has come."""

Answers = list[tuple[int, bytes]]
"""Indices of parts, and packed records."""


@dataclass(frozen=True)
class Order:
    """What a worker process opens once, and keeps for all its parts.

    Attributes
    ----------
    bundle
        Its folder, absolute.
    fingerprint, recipe, kernel, offer
        See `Studio`.
    reference_time
        From which ages of events count.
    """

    bundle: Path
    fingerprint: str
    recipe: Recipe
    kernel: str
    reference_time: datetime
    offer: Offer = field(default_factory=Offer)


@lru_cache(maxsize=1)
def maker_of(order: Order) -> Maker:
    """Open a bundle, in the first task of a worker process: after it was forked.

    Raises
    ------
    BundleError
        Another bundle lies there.
    DeliveryError
        The machine would compute other pictures.
    """
    kind = cast("Kind", order.kernel.split(" ")[0])
    studio = Studio(order.bundle, order.recipe, kind, order.offer)
    if studio.fingerprint != order.fingerprint:
        raise BundleError(
            f"{order.bundle} is another bundle on a worker of Spark than where the run was begun; "
            "put the same bundle there"
        )
    if studio.kernel != order.kernel:
        raise DeliveryError(
            f"a worker of Spark would compute pictures by {studio.kernel}, the run is made by "
            f"{order.kernel}; install the same packages on all machines"
        )
    return studio.maker(order.reference_time)


class _Appended(AccumulatorParam[Answers]):
    """Answers one after the other."""

    def zero(self, value: Answers) -> Answers:
        """None yet."""
        return []

    def addInPlace(self, value1: Answers, value2: Answers) -> Answers:  # noqa: N802
        """Those of another task as well."""
        value1.extend(value2)
        return value1


def make_parts(studio: Studio, log: SparkLog, run: Run, finished: Callable[[int], None]) -> None:
    """Make the missing parts of a run and record each as soon as it is written.

    Spark gives the answers of a job when all of it is done. A job that is killed then would have
    nothing to go on from, so answers come by an accumulator as well, with the end of each task.

    Parameters
    ----------
    studio, log, run, finished
        See `Engine`.

    Raises
    ------
    ProdgenError
        A part cannot be made.
    OSError
        Spark gave up.
    """
    order = Order(
        studio.bundle.absolute(),
        studio.fingerprint,
        studio.recipe,
        studio.kernel,
        log.newest,
        studio.offer,
    )
    context = log.rows.sparkSession.sparkContext
    early = context.accumulator([], _Appended())
    making = _making(order, log.to_events, run.part_writer, early)
    answers = _by_part(log, run).mapInArrow(making, "part int, answer binary")

    def record(index: int, answer: bytes) -> None:
        if index not in run.finished:
            run.accept(index, unpacked(answer, PartRecord))
            finished(index)

    with gave_up(), ThreadPoolExecutor(1) as pool:
        job = pool.submit(_collected, answers, run.plan.run_id)
        n_seen = 0
        try:
            while not job.done():
                wait([job], timeout=_SECONDS)
                came = early.value[n_seen:]
                n_seen += len(came)
                for index, answer in came:
                    record(index, answer)
        except BaseException:
            context.cancelJobsWithTag(_tag(run.plan.run_id))
            raise
        for row in job.result():
            record(row[_PART], bytes(row["answer"]))


def _tag(run_id: str) -> str:
    """What the job of a run is called, to be stopped by."""
    return f"prodgen-rec {run_id}"


def _collected(answers: DataFrame, run_id: str) -> list[Row]:
    answers.sparkSession.sparkContext.addJobTag(_tag(run_id))
    return answers.collect()


def _by_part(log: SparkLog, run: Run) -> DataFrame:
    """A partition for each part, with its rows, and one row without a position if it is missing."""
    n_parts = run.plan.n_parts
    missing = pa.table({_PART: pa.array(run.missing, pa.int32())})
    due = log.rows.sparkSession.createDataFrame(missing)
    rows = log.rows.withColumn(_PART, share_of(n_parts)).join(f.broadcast(due), _PART, "left_semi")
    both = rows.unionByName(due, allowMissingColumns=True)
    return both.repartitionById(n_parts, f.col(_PART))


def _making(
    order: Order,
    to_events: Callable[[pa.Table], Events],
    writer: PartWriter,
    early: Accumulator[Answers],
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What a task does: makes and writes its part, and gives its record."""

    def making(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = pa.Table.from_batches(batches)
        for index in rows[_PART].unique().to_pylist():
            mine = rows.filter(pc.and_(pc.equal(rows[_PART], index), pc.is_valid(rows[POSITION])))
            answer = packed(_record(order, to_events, writer, index, mine))
            early.add([(index, answer)])
            yield pa.record_batch({_PART: pa.array([index], pa.int32()), "answer": [answer]})

    return making


def _record(
    order: Order,
    to_events: Callable[[pa.Table], Events],
    writer: PartWriter,
    index: int,
    rows: pa.Table,
) -> PartRecord | ProdgenError:
    """The record of a part that was made and written, or why it cannot be made."""
    try:
        with workers(1) as pool:  # Spark has as many tasks as cores
            made = maker_of(order).begin(to_events(rows), pool).made()
        return writer.write(
            index, made.table, n_in=made.n_in, refused=made.refused, figures=made.figures
        )
    except ProdgenError as error:
        return error
