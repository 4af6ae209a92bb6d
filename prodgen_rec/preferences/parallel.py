"""Work on slices of rows in a few threads, with one BLAS thread in each.

NumPy releases the interpreter lock in products, solves and selections, so plain
threads keep every core busy. BLAS itself is held to one thread: split over several,
it sums in another order, and the last bits would depend on the machine.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from threadpoolctl import threadpool_limits

Job = TypeVar("Job")

_here = threading.local()
"""Whether this thread is one of those that work."""


def run_in_threads(
    task: Callable[[Job], None], jobs: Iterable[Job], n_threads: int | None = None
) -> None:
    """Call ``task`` on every job; the first exception is raised here.

    A task that calls this function in its turn does those jobs itself, one after the other: all
    CPUs have work already.

    Parameters
    ----------
    task
        Writes its result somewhere of its own; called from several threads at once.
    jobs
        Arguments of the calls.
    n_threads
        At least 1; by default the number of CPUs.
    """
    if _works():
        for job in jobs:
            task(job)
        return
    with workers(n_threads) as pool:
        for _ in pool.map(task, jobs):
            pass


@contextmanager
def workers(n_threads: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Threads to give work to, one by default for each CPU.

    When the block ends with an exception, what was not begun is not done.
    """
    with threadpool_limits(1, user_api="blas"):
        pool = ThreadPoolExecutor(n_threads or n_cpus(), initializer=_begin_to_work)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS sum in one order in this block, whatever the number of CPUs.

    The threads of `workers` do so anyway; what is asked of BLAS costs milliseconds.
    """
    with nullcontext() if _works() else threadpool_limits(1, user_api="blas"):
        yield


def _works() -> bool:
    return getattr(_here, "works", False)


def _begin_to_work() -> None:
    _here.works = True


def n_cpus() -> int:
    """Count the CPUs this process may use (Python 3.11 and 3.12: those of the machine)."""
    return getattr(os, "process_cpu_count", os.cpu_count)() or 1
