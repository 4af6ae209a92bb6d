"""Work on slices of rows in a few threads, with one BLAS thread in each.

NumPy releases the interpreter lock in products, solves and selections, so plain
threads keep every core busy. BLAS itself is held to one thread: split over several,
it sums in another order, and the last bits would depend on the machine.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

Job = TypeVar("Job")


def run_in_threads(
    task: Callable[[Job], None], jobs: Iterable[Job], n_threads: int | None = None
) -> None:
    """Call ``task`` on every job; the first exception is raised here.

    Parameters
    ----------
    task
        Writes its result somewhere of its own; called from several threads at once.
    jobs
        Arguments of the calls.
    n_threads
        At least 1; by default the number of CPUs.
    """
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads or n_cpus()) as pool:
        for _ in pool.map(task, jobs):
            pass


def n_cpus() -> int:
    """Count the CPUs this process may use (Python 3.11 and 3.12: those of the machine)."""
    return getattr(os, "process_cpu_count", os.cpu_count)() or 1
