"""The nightly job on Spark gives what it gives on one machine, to the byte."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prodgen_rec.columns import EVENT_WEIGHTS
from prodgen_rec.errors import BundleError, DeliveryError, EventsError
from prodgen_rec.events import Events, read_events
from prodgen_rec.events.shards import sharded
from prodgen_rec.nightly import NightlySettings, Run, run
from prodgen_rec.nightly.recipe import Recipe
from prodgen_rec.nightly.studio import Studio

if shutil.which("java") is None:
    pytest.skip("Spark needs Java, and there is none in PATH", allow_module_level=True)
pytest.importorskip("pyspark", reason="pip install 'prodgen-rec[spark]'")

from prodgen_rec.nightly.spark.log import checked_log, pieces_of
from prodgen_rec.nightly.spark.parts import Order, maker_of

NIGHT = "2026-11-26"
KERNEL = "tensorflow-float32 0.1, png"
"""Of another machine."""
N_PARTS = 8
"""Of 200 users."""


@pytest.fixture(scope="module", autouse=True)
def session():
    """Two cores of this machine, with tries again; the job takes a session that there is."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2,4]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture(scope="module")
def events(small_shop, tmp_path_factory) -> Path:
    """The log of the shop as a CSV and a Parquet file, and a few bad rows."""
    frame = read_events(small_shop.events).to_pandas()
    folder = tmp_path_factory.mktemp("log")
    half = len(frame) // 2
    bad = frame.iloc[:7].assign(event="stolen")
    frame.iloc[:half].to_csv(folder / "a.csv", index=False)
    rest = pd.concat([frame.iloc[half:], bad, frame.iloc[-3:]])
    rest.to_parquet(folder / "b.parquet", index=False, row_group_size=500)
    return folder


def settings_of(bundle: Path, events: Path, to: Path, **more) -> NightlySettings:
    recipe = {"users_per_part": 25, "n_items": 3, "n_pictures": 2} | more.pop("recipe", {})
    return NightlySettings.read(
        bundle=bundle,
        events=str(events),
        to=str(to),
        date=NIGHT,
        recipe=recipe,
        kernel="tensorflow-float32",
        **more,
    )


def files_of(place: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(place)): file.read_bytes()
        for file in place.rglob("*")
        if file.is_file() and not file.name.startswith(".lock")
    }


@pytest.fixture(scope="module")
def published(bundle, events, tmp_path_factory) -> Path:
    """What the local engine publishes; not to be changed."""
    place = tmp_path_factory.mktemp("local")
    run(settings_of(bundle, events, place))
    return place


def test_all_files_are_those_of_the_local_engine(bundle, events, published, tmp_path):
    outcome = run(settings_of(bundle, events, tmp_path, engine="spark"))
    assert outcome.n_made == N_PARTS
    assert files_of(tmp_path) == files_of(published)
    assert outcome.log == dataclasses.replace(read_events(events).report, look_alikes={})
    assert outcome.log.n_bad == 7


def test_what_one_engine_begins_the_other_ends(bundle, events, published, tmp_path, monkeypatch):
    accepted = Run.accept

    def interrupted(self, index, record):
        if len(self.finished) == 3:
            raise KeyboardInterrupt
        accepted(self, index, record)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "accept", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(settings_of(bundle, events, tmp_path, engine="spark"))
    assert run(settings_of(bundle, events, tmp_path)).n_made == N_PARTS - 3
    assert files_of(tmp_path) == files_of(published)


def workers_of_spark() -> list[psutil.Process]:
    """Python processes that tasks run in: forked from Spark's daemon, which is one of ours."""
    daemons = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "pyspark.daemon" in one.cmdline():
                daemons.append(one)
    pids = {one.pid for one in daemons}
    return [one for one in daemons if one.ppid() in pids]


def test_a_worker_that_is_killed_is_replaced(bundle, events, published, tmp_path):
    killed = []

    def kill_when_parts_come():
        while not list(tmp_path.glob("runs/*/part-*.parquet")):
            time.sleep(0.05)
        for one in workers_of_spark():
            one.kill()
            killed.append(one.pid)

    killer = threading.Thread(target=kill_when_parts_come)
    killer.start()
    outcome = run(settings_of(bundle, events, tmp_path, engine="spark"))
    killer.join()
    assert killed
    assert outcome.n_made == N_PARTS
    assert files_of(tmp_path) == files_of(published)


def by_user(events: Events) -> pd.DataFrame:
    """Each user's rows in the log's order; among users, the engines have orders of their own."""
    return events.to_pandas().sort_values("user_id", kind="stable", ignore_index=True)


@pytest.mark.parametrize("n_shares", [1, 7])
def test_shares_are_those_of_one_machine(session, events, n_shares):
    log = checked_log(
        session, str(events), columns={}, event_weights=EVENT_WEIGHTS, max_bad_fraction=0.05
    )
    with log as far, sharded(str(events)) as near:
        assert (far.report, far.newest) == (near.report, near.newest)
        since = near.newest - timedelta(days=4)
        assert 0 < far.n_users(since) == near.n_users(since) < far.n_users() == near.n_users()
        for index in range(0, n_shares, 3):
            one, other = (by_user(log.share(index, n_shares)) for log in (far, near))
            assert one.equals(other)


@pytest.mark.parametrize("kind", ["timestamp[ns]", "dictionary", "uint64"])
def test_types_are_read_as_on_one_machine(session, tmp_path, kind):
    ids = pa.array([3, 1, 2, 1], pa.uint64() if kind == "uint64" else pa.int64())
    if kind == "dictionary":
        ids = ids.cast(pa.string()).dictionary_encode()
    times = pa.array([1, 2, 3, 4], pa.int64()).cast(pa.timestamp("s"))
    times = pc.add(times, pa.scalar(10**9, pa.duration("s")))
    if kind == "timestamp[ns]":
        times = times.cast(pa.timestamp("ns"))
    table = pa.table({"user_id": ids, "item_id": ids, "event": ["view"] * 4, "timestamp": times})
    pq.write_table(table, tmp_path / "log.parquet", row_group_size=2)
    log = checked_log(
        session, str(tmp_path), columns={}, event_weights=EVENT_WEIGHTS, max_bad_fraction=0
    )
    with log as far:
        assert far.share(0, 1).table.equals(read_events(tmp_path).table)


def test_large_files_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("prodgen_rec.nightly.spark.log.BLOCK_ROWS", 5)
    pq.write_table(pa.table({"x": range(17)}), tmp_path / "a.parquet", row_group_size=2)
    (tmp_path / "b.csv").write_text("x\n1\n")
    groups = [piece.groups for piece in pieces_of(str(tmp_path))]
    assert groups == [range(3), range(3, 6), range(6, 9), None]


def test_errors_are_those_of_one_machine(session, tmp_path):
    def read():
        log = checked_log(
            session, str(tmp_path), columns={}, event_weights=EVENT_WEIGHTS, max_bad_fraction=0
        )
        with log:
            pass

    (tmp_path / "a.csv").write_text("user_id,item_id,event\n1,2,view\n")
    with pytest.raises(EventsError, match=r"a\.csv: missing column 'timestamp'"):
        read()
    (tmp_path / "a.csv").write_text("user_id,item_id,event,timestamp\n1,2,veiw,2026-01-01\n")
    with pytest.raises(EventsError, match=r"no good row is left; most often: unknown event \(1\)"):
        read()
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(EventsError, match=r"b\.parquet cannot be read"):
        read()


def test_a_file_that_was_changed_is_not_read_again(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("user_id\n1\n")
    (piece,) = pieces_of(str(file))
    piece.standing()
    file.write_text("user_id\n1\n2\n")
    with pytest.raises(EventsError, match="was changed while it was being read"):
        piece.standing()


def test_a_worker_refuses_another_bundle_or_kernel(bundle):
    order = Order(bundle, "0" * 64, Recipe(), KERNEL, datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(BundleError, match="is another bundle on a worker"):
        maker_of(order)
    same = dataclasses.replace(order, fingerprint=Studio(bundle, Recipe()).fingerprint)
    with pytest.raises(DeliveryError, match=r"the run is made by tensorflow-float32 0\.1, png"):
        maker_of(same)


SPARK_HOME = Path(find_spec("pyspark").origin).parent


@contextmanager
def started(*arguments: object, until: str, log: Path) -> Iterator[str]:
    """A process of Spark's, and the line of its log that says that it is ready."""
    command = [SPARK_HOME / "bin" / "spark-class", *map(str, arguments)]
    environment = os.environ | {"SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1"}
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


@pytest.fixture
def cluster(tmp_path) -> Iterator[str]:
    """URL of a master with one worker of two cores, both processes of their own."""
    deploy = "org.apache.spark.deploy"
    where = ("--host", "127.0.0.1", "--webui-port", 0)
    with started(
        f"{deploy}.master.Master",
        *where,
        "--port",
        0,
        until="Starting Spark master at",
        log=tmp_path / "master.log",
    ) as line:
        url = line.rpartition(" ")[2]
        size = ("--cores", 2, "--memory", "2g", "--work-dir", tmp_path / "work")
        with started(
            f"{deploy}.worker.Worker",
            *where,
            *size,
            url,
            until="Successfully registered with master",
            log=tmp_path / "worker.log",
        ):
            yield url


@pytest.mark.slow
def test_a_cluster_whose_executor_is_killed_gives_the_same(
    bundle, events, published, cluster, tmp_path
):
    place, config = tmp_path / "place", tmp_path / "settings.toml"
    config.write_text(
        'kernel = "tensorflow-float32"\n'
        "[recipe]\nusers_per_part = 25\nn_items = 3\nn_pictures = 2\n"
        '[spark]\n"spark.ui.enabled" = "false"\n"spark.driver.host" = "127.0.0.1"\n'
        '"spark.executor.memory" = "1g"\n"spark.sql.shuffle.partitions" = "2"\n'
        f'"spark.executorEnv.PYTHONPATH" = "{Path(__file__).parents[1]}"\n'
    )
    command = (
        *(sys.executable, "-m", "prodgen_rec", "nightly", "--engine", "spark"),
        *("--master", cluster, "--config", config, "--bundle", bundle, "--events", events),
        *("--to", place, "--date", NIGHT),
    )
    job = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    while not list(place.glob("runs/*/part-*.parquet")) and job.poll() is None:
        time.sleep(0.05)
    killed = 0
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in one.cmdline():
                one.kill()
                killed += 1
    _, told = job.communicate()
    assert job.returncode == 0, told
    assert killed == 1
    assert files_of(place) == files_of(published)
