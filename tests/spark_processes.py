"""Processes of Spark: a cluster of them, and their death while a night is made."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread

import psutil

_DEPLOY = "org.apache.spark.deploy"
_HERE = ("--host", "127.0.0.1", "--webui-port", 0)


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """URL of a master with one worker of one core, both processes of their own."""
    master = (f"{_DEPLOY}.master.Master", *_HERE, "--port", 0)
    size = ("--cores", 1, "--memory", "2g", "--work-dir", folder / "work")
    with _started(*master, until="Starting Spark master at", log=folder / "master.log") as line:
        url = line.rpartition(" ")[2]
        worker = (f"{_DEPLOY}.worker.Worker", *_HERE, *size, url)
        ready = "Successfully registered with master"
        with _started(*worker, until=ready, log=folder / "worker.log"):
            yield url


@contextmanager
def _started(*arguments: object, until: str, log: Path) -> Iterator[str]:
    """A process of Spark's, and the line of its log that says that it is ready."""
    home = Path(str(find_spec("pyspark").origin)).parent
    command = [home / "bin" / "spark-class", *map(str, arguments)]
    environment = os.environ | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"}
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        for _ in range(1200):
            lines = [line for line in log.read_text().splitlines() if until in line]
            if lines:
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield lines[0]
    finally:
        process.terminate()
        process.wait()


def descendants(word: str) -> list[psutil.Process]:
    """Processes below this one that have a word in their command."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if word in one.cmdline():
                found.append(one)
    return found


def executors() -> list[psutil.Process]:
    """Processes of a cluster that hold the tasks of a job."""
    return descendants("org.apache.spark.executor.CoarseGrainedExecutorBackend")


def python_workers() -> list[psutil.Process]:
    """Python processes that tasks run in: forked from Spark's daemon."""
    daemons = descendants("pyspark.daemon")
    pids = {one.pid for one in daemons}
    return [one for one in daemons if one.ppid() in pids]


@contextmanager
def killed_at_the_first_part(
    place: Path, processes: Callable[[], list[psutil.Process]]
) -> Iterator[list[int]]:
    """Kill processes as soon as a night that the block makes has a part; their ids."""
    killed: list[int] = []
    over = Event()

    def kill() -> None:
        while not list(place.glob("runs/*/part-*.parquet")):
            if over.wait(0.05):
                return
        for one in processes():
            one.kill()
            killed.append(one.pid)

    killer = Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        over.set()
        killer.join()
