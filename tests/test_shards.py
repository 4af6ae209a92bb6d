"""A log that is read a share of its users at a time says what the whole log says."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodgen_rec.errors import ConfigError, EventsError
from prodgen_rec.events import read_events, sources
from prodgen_rec.events.shards import sharded
from prodgen_rec.interactions import build_interactions
from prodgen_rec.nightly import part_of

NAMES = ["view", "purchase", "return"]


def log(n: int, seed: int = 0, *, text: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, 40, n),
            "item_id": rng.integers(0, 15, n),
            "event": rng.choice(NAMES, n),
            "timestamp": pd.Timestamp("2026-01-01", tz="UTC")
            + pd.to_timedelta(rng.integers(0, 50, n), unit="D"),
            "quantity": rng.integers(1, 4, n).astype(float),
        }
    )
    return frame.astype({"user_id": str, "item_id": str}) if text else frame


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 300), seed=st.integers(0, 99), n_shares=st.integers(1, 200), text=st.booleans()
)
def test_shares_together_are_the_whole_log(n, seed, n_shares, text):
    frame = log(n, seed, text=text)
    whole = build_interactions(read_events(frame), half_life_days=9.0)
    found = []
    with sharded(frame) as shards:
        for index in range(n_shares):
            events = shards.share(index, n_shares)
            if len(events) == 0:
                continue
            share = build_interactions(events, half_life_days=9.0, reference_time=shards.newest)
            assert (part_of(share.users.arrow, n_shares) == index).all()
            expected = whole.for_users(share.users.arrow).for_items(share.items)
            assert np.array_equal(share.matrix.toarray(), expected.matrix.toarray())
            found += share.users.arrow.to_pylist()
    assert sorted(found) == whole.users.arrow.to_pylist()


def test_the_report_is_that_of_the_whole_log():
    frame = log(500)
    frame.loc[::50, "event"] = "stolen"
    whole = read_events(frame)
    with sharded(frame) as shards:
        assert shards.report == whole.report
        assert shards.newest == frame.loc[frame["event"] != "stolen", "timestamp"].max()


def test_users_are_counted_since_a_time():
    frame = log(300)
    since = datetime(2026, 2, 10, tzinfo=UTC)
    with sharded(frame) as shards:
        assert shards.n_users() == frame["user_id"].nunique()
        assert shards.n_users(since) == frame.loc[frame["timestamp"] >= since, "user_id"].nunique()
        assert shards.n_users(datetime(2027, 1, 1, tzinfo=UTC)) == 0


def test_blocks_do_not_matter(monkeypatch):
    frame = log(400, text=True)
    with sharded(frame) as shards:
        expected = [shards.share(index, 3).to_pandas() for index in range(3)]
    monkeypatch.setattr(sources, "BLOCK_ROWS", 7)
    with sharded(frame) as shards:
        for index, one in enumerate(expected):
            pd.testing.assert_frame_equal(shards.share(index, 3).to_pandas(), one)


def test_text_ids_of_a_csv_log_become_integers_if_all_of_them_are(tmp_path):
    for name, first, kind in (("whole", "7", pa.int64()), ("mixed", "A7", pa.string())):
        file = tmp_path / f"{name}.csv"
        frame = log(30).astype({"user_id": str})
        frame.loc[0, "user_id"] = first
        frame.to_csv(file, index=False)
        with sharded(file) as shards:
            assert shards.share(0, 1).table["user_id"].type.value_type == kind
            shown = shards.share(0, 1).to_pandas()["user_id"]
        assert sorted(shown) == sorted(read_events(file).to_pandas()["user_id"])


def test_what_a_read_refuses_is_refused(tmp_path):
    with pytest.raises(EventsError, match="the log is empty"), sharded(log(10).iloc[:0]):
        pass
    bad = log(10)
    bad["event"] = "stolen"
    with pytest.raises(EventsError, match="10 of 10 rows are bad"), sharded(bad):
        pass
    with pytest.raises(ConfigError, match="max_bad_fraction"), sharded(log(1), max_bad_fraction=2):
        pass
    with pytest.raises(EventsError, match="there is no"), sharded(tmp_path / "absent.csv"):
        pass


def test_nothing_is_left_on_the_disk(tmp_path):
    with sharded(log(10), folder=tmp_path):
        assert any(tmp_path.iterdir())
    assert not any(tmp_path.iterdir())
    with pytest.raises(EventsError), sharded(log(10).iloc[:0], folder=tmp_path):
        pass
    assert not any(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    child = os.fork()
    if child == 0:
        with sharded(log(10), folder=tmp_path):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (left,) = tmp_path.iterdir()
    with sharded(log(10), folder=tmp_path) as first, sharded(log(10), folder=tmp_path) as second:
        assert not left.exists()
        assert len(list(tmp_path.iterdir())) == 2
        assert first.share(0, 1).table.equals(second.share(0, 1).table)
    assert not any(tmp_path.iterdir())


def test_a_place_that_takes_no_files_is_named(tmp_path):
    absent = tmp_path / "absent"
    text = r"name another folder as scratch: '\S+/absent'"
    with pytest.raises(OSError, match=text), sharded(log(10), folder=absent):
        pass
