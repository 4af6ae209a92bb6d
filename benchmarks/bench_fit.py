"""What fitting ALS and reading a log cost, in time and memory: ratios and lines of one run.

    python benchmarks/bench_fit.py --millions 1 5 10 20

Every measurement has a process of its own, so that the peak of one is not that of another.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

import prodgen_rec as pg
from prodgen_rec.ids import IdMap
from prodgen_rec.preferences import ALS  # in every process, so that the same modules are loaded

N_USERS, N_ITEMS, N_PAIRS = 100_000, 20_000, 5_000_000
FACTORS, ITERATIONS, REGULARIZATION, ALPHA = 64, 15, 10.0, 4.0
_ROWS_AT_ONCE = 1_000_000


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=int, nargs="*", default=[1, 5, 10, 20], help="events")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        name, argument = arguments.alone
        print(*ALONE[name](argument))
        return
    theirs = measured("implicit", "")
    print(
        f"ALS, {FACTORS} factors, {N_PAIRS / 1e6:g} million pairs: implicit {theirs[0]:.1f} s, "
        f"{theirs[1]:.2f} GiB"
    )
    for scaling in ("0", "0.5"):
        ours = measured("ours", scaling)
        print(
            f"ours, frequency scaling {scaling}: {ours[0]:.1f} s, {ours[1]:.2f} GiB; "
            f"{ours[0] / theirs[0]:.2f} × its time, {ours[1] / theirs[1]:.2f} × its memory"
        )
    with tempfile.TemporaryDirectory() as folder:
        for millions in arguments.millions:
            path = str(Path(folder) / f"{millions}.parquet")
            write_log(path, millions * 1_000_000)
            seconds, peak = measured("read", path)
            print(
                f"{millions:3} million events in Parquet to a matrix: {seconds:6.1f} s, "
                f"{seconds / millions:.2f} s per million, peak {peak:.2f} GiB"
            )


def measured(name: str, argument: str) -> tuple[float, float]:
    """Seconds and peak memory in GiB of one measurement, in a process of its own."""
    words = [sys.executable, __file__, "--alone", name, argument]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    seconds, peak = map(float, printed.split()[-2:])
    return seconds, peak


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of some work, and the peak memory of this process in GiB."""
    start = time.perf_counter()
    work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return time.perf_counter() - start, peak / 2**20


def matrix() -> sp.csr_array:
    """Evidence of 1 to 5, users and items of very different numbers of pairs."""
    rng = np.random.default_rng(0)
    users = (N_USERS * rng.random(N_PAIRS) ** 1.5).astype(np.int32)
    items = (N_ITEMS * rng.random(N_PAIRS) ** 3).astype(np.int32)
    found = sp.csr_array((np.ones(N_PAIRS, np.float32), (users, items)), shape=(N_USERS, N_ITEMS))
    found.sum_duplicates()
    found.data = np.minimum(found.data, 5)
    return found


def fit_implicit(_: str) -> tuple[float, float]:
    """Confidence 1 + α · evidence, as ours has it."""
    confidence = sp.csr_matrix(matrix())
    confidence.data = 1 + ALPHA * confidence.data
    model = AlternatingLeastSquares(
        FACTORS, REGULARIZATION, alpha=1.0, iterations=ITERATIONS, random_state=0
    )
    with threadpool_limits(1, user_api="blas"):
        return timed(lambda: model.fit(confidence, show_progress=False))


def fit_ours(scaling: str) -> tuple[float, float]:
    """The same settings but for the scaling, and exact vectors of all users at the end."""
    ids = IdMap(pa.array(np.arange(N_USERS))), IdMap(pa.array(np.arange(N_ITEMS)))
    history = pg.Interactions(*ids, matrix())
    model = ALS(FACTORS, REGULARIZATION, ALPHA, ITERATIONS, frequency_scaling=float(scaling))
    return timed(lambda: model.fit(history))


def write_log(path: str, n_events: int) -> None:
    """A log of text ids and four kinds of events, a row group at a time."""
    rng = np.random.default_rng(0)
    names = np.array(["view", "view", "view", "cart", "purchase"])
    writer = None
    for _ in range(0, n_events, _ROWS_AT_ONCE):
        user = (n_events / 20 * rng.random(_ROWS_AT_ONCE) ** 1.5).astype(np.int64)
        item = (50_000 * rng.random(_ROWS_AT_ONCE) ** 3).astype(np.int64)
        seconds = rng.integers(1_700_000_000, 1_710_000_000, _ROWS_AT_ONCE)
        part = pa.table(
            {
                "user_id": np.char.mod("user-%08d", user),
                "item_id": np.char.mod("SKU-%06d", item),
                "event": names[rng.integers(0, len(names), _ROWS_AT_ONCE)],
                "timestamp": pa.array(seconds * 1_000_000, pa.timestamp("us", "UTC")),
            }
        )
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    if writer:
        writer.close()


def read(path: str) -> tuple[float, float]:
    """From the file to the matrix."""
    return timed(lambda: pg.build_interactions(pg.read_events(path)))


ALONE: dict[str, Callable[[str], tuple[float, float]]] = {
    "implicit": fit_implicit,
    "ours": fit_ours,
    "read": read,
}

if __name__ == "__main__":
    main()
