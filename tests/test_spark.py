"""The nightly job on Spark gives what it gives on one machine, to the byte."""

from __future__ import annotations

import dataclasses
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from spark_processes import killed_at_the_first_part, python_workers

from prodgen_rec import Personalizer, errors
from prodgen_rec.columns import EVENT_WEIGHTS
from prodgen_rec.errors import BundleError, DeliveryError, EventsError, MissingExtraError
from prodgen_rec.events import Events, read_events
from prodgen_rec.events.reader import latest_plausible, parts_of
from prodgen_rec.events.shards import sharded
from prodgen_rec.nightly import NightlySettings, Run, latest, run
from prodgen_rec.nightly.documents import PartRecord
from prodgen_rec.nightly.recipe import Recipe
from prodgen_rec.nightly.studio import Studio

if shutil.which("java") is None:
    pytest.skip("Spark needs Java, and there is none in PATH", allow_module_level=True)
pytest.importorskip("pyspark", reason="pip install 'prodgen-rec[spark]'")

from prodgen_rec.nightly.spark.answers import packed, unpacked
from prodgen_rec.nightly.spark.log import PieceAccount, checked_log, pieces_of
from prodgen_rec.nightly.spark.parts import Order, maker_of

NIGHT = "2026-11-26"
KERNEL = "tensorflow-float32 0.1, png"
"""Of another machine."""
N_PARTS = 8
"""Of 200 users."""


pytestmark = pytest.mark.usefixtures("spark")
"""The job takes a session that there is."""


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


def test_an_offer_is_that_of_the_local_engine(bundle, fitted, events, tmp_path):
    """Items in stock, pairs that are kept apart, and what is known of users without a history."""
    items, users = fitted.recommender_.items_.ids, fitted.recommender_.users_.ids
    (tmp_path / "stock.txt").write_text("\n".join(items[::2]))
    pairs = pd.DataFrame({"user_id": np.repeat(users, 20), "item_id": np.tile(items[:20], 200)})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    likes = np.array(["a", "b"])[(fitted.recommender_.user_vectors_[:, 0] > 0).astype(int)]
    table = pd.DataFrame({"user_id": users, "likes": likes})
    Personalizer.load(bundle).learn_newcomers(table).save(tmp_path / "bundle")
    table["user_id"] = table["user_id"] + "-new"
    table.to_csv(tmp_path / "users.csv", index=False)
    log = read_events(events).to_pandas()
    new = log[:40].assign(user_id=users[:40] + "-new", item_id="SKU-unheard")
    pd.concat([log, new]).to_parquet(tmp_path / "log.parquet", index=False)
    offer = {
        "candidates": tmp_path / "stock.txt",
        "blocked": tmp_path / "pairs.csv",
        "users": tmp_path / "users.csv",
    }
    made = tmp_path / "bundle", tmp_path / "log.parquet"
    for engine in ("local", "spark"):
        run(settings_of(*made, tmp_path / engine, engine=engine, **offer))
    assert files_of(tmp_path / "spark") == files_of(tmp_path / "local")
    delivered = latest(tmp_path / "spark").table().to_pandas()
    assert delivered["is_cold"].sum() == 40 * 3
    assert set(delivered["item_id"]) <= set(items[::2])
    known = delivered[~delivered["is_cold"]].merge(pairs, on=["user_id", "item_id"])
    assert known.empty
    assert delivered[delivered["is_cold"]].groupby("rank")["item_id"].nunique().min() > 1


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


def test_a_worker_that_is_killed_is_replaced(bundle, events, published, tmp_path):
    with killed_at_the_first_part(tmp_path, python_workers) as killed:
        outcome = run(settings_of(bundle, events, tmp_path, engine="spark"))
    assert killed
    assert outcome.n_made == N_PARTS
    assert files_of(tmp_path) == files_of(published)


def by_user(events: Events) -> pd.DataFrame:
    """Each user's rows in the log's order; among users, the engines have orders of their own."""
    return events.to_pandas().sort_values("user_id", kind="stable", ignore_index=True)


@pytest.mark.parametrize("n_shares", [1, 7])
def test_shares_are_those_of_one_machine(spark, events, n_shares):
    log = checked_log(
        spark, str(events), columns={}, event_weights=EVENT_WEIGHTS, max_bad_fraction=0.05
    )
    with log as far, sharded(str(events)) as near:
        assert (far.report, far.newest) == (near.report, near.newest)
        since = near.newest - timedelta(days=4)
        assert 0 < far.n_users(since) == near.n_users(since) < far.n_users() == near.n_users()
        for index in range(0, n_shares, 3):
            one, other = (by_user(log.share(index, n_shares)) for log in (far, near))
            assert one.equals(other)


@pytest.mark.parametrize("kind", ["timestamp[ns]", "dictionary", "uint64"])
def test_types_are_read_as_on_one_machine(spark, tmp_path, kind):
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
        spark, str(tmp_path), columns={}, event_weights=EVENT_WEIGHTS, max_bad_fraction=0
    )
    with log as far:
        assert far.share(0, 1).table.equals(read_events(tmp_path).table)


def test_large_files_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("prodgen_rec.nightly.spark.log.BLOCK_ROWS", 5)
    pq.write_table(pa.table({"x": range(17)}), tmp_path / "a.parquet", row_group_size=2)
    (tmp_path / "b.csv").write_text("x\n1\n")
    groups = [piece.groups for piece in pieces_of(str(tmp_path))]
    assert groups == [range(3), range(3, 6), range(6, 9), None]


def test_errors_are_those_of_one_machine(spark, tmp_path):
    def read():
        log = checked_log(
            spark, str(tmp_path), columns={}, event_weights=EVENT_WEIGHTS, max_bad_fraction=0
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


@pytest.mark.parametrize("name", [name for name in dir(errors) if name.endswith("Error")])
def test_every_error_of_ours_comes_back_as_it_was(name):
    error = getattr(errors, name)
    sent = error("pyspark", "spark") if error is MissingExtraError else error("“no” such ☃ file")
    with pytest.raises(error) as raised:
        unpacked(packed(sent), PartRecord)
    assert type(raised.value) is type(sent)
    assert str(raised.value) == str(sent)


def test_what_is_known_of_a_log_comes_back_as_it_was(events):
    found = PieceAccount.empty("log")
    for piece in pieces_of(str(events)):
        parts = parts_of(piece.standing(), {}, list(EVENT_WEIGHTS), latest_plausible())
        for part in parts:
            found.add(part)
    assert found.account.n_bad == 7
    assert unpacked(packed(found), PieceAccount) == found
