"""Tables of a log, each against counts made by hand."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from prodgen_rec import behavior, read_catalog, read_events
from prodgen_rec.errors import ConfigError


@pytest.fixture(scope="module")
def events():
    """Ann looks at three things and takes two; bob comes twice, and buys cups both times."""
    rows = [
        ("ann", "cup", "view", "2025-03-01 10:00"),
        ("ann", "pan", "view", "2025-03-01 10:20"),
        ("ann", "pot", "view", "2025-03-01 10:50"),
        ("ann", "pan", "purchase", "2025-03-01 11:00"),
        ("ann", "cup", "cart", "2025-03-01 11:31"),
        ("ann", "cup", "purchase", "2025-03-01 11:40"),
        ("bob", "cup", "purchase", "2025-03-02 09:00"),
        ("bob", "cup", "purchase", "2025-03-11 09:00"),
        ("bob", "jar", "gift", "2025-03-11 09:00"),
    ]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "event", "timestamp"])
    weights = {"view": 1.0, "cart": 3.0, "purchase": 5.0, "gift": 1.0}
    return read_events(table.sample(frac=1, random_state=2), event_weights=weights)


def test_the_funnel_counts_pairs(events):
    found = behavior.funnel(events).set_index("event")
    assert found.index.tolist() == ["view", "cart", "purchase", "gift"]
    assert found.loc["view"].tolist()[:4] == [3, 1, 3, 3]
    assert found.loc["purchase"].tolist() == [4, 2, 2, 3, 1.0, 1.0]  # all that was in a cart
    assert found["purchased"].tolist() == pytest.approx([2 / 3, 1, 1, 0])
    assert found["of_previous"].tolist()[1] == pytest.approx(1 / 3)
    assert np.isnan(found["of_previous"].iloc[0])


def test_a_funnel_without_purchases_leads_nowhere(events):
    found = behavior.funnel(events.where(events.to_pandas()["event"].to_numpy() != "purchase"))
    assert found["event"].tolist() == ["view", "cart", "gift"]
    assert found["purchased"].isna().all()


def test_a_pause_ends_a_session(events):
    found = behavior.sessions(events)
    assert found["user_id"].tolist() == ["ann", "ann", "bob", "bob"]
    assert found["n_events"].tolist() == [4, 2, 1, 2]
    assert found["n_items"].tolist() == [3, 1, 1, 2]
    assert found["minutes"].tolist() == [60, 9, 0, 0]
    assert found["purchased"].tolist() == [True, True, True, True]
    assert len(behavior.sessions(events, gap_minutes=31)) == 3
    assert not behavior.sessions(events, gap_minutes=5)["purchased"].all()


def test_recency_and_frequency_of_users(events):
    found = behavior.recency_and_frequency(events).set_index("user_id")
    assert found.loc["bob"].tolist() == [0, 2, 3, 2, 2, 1]
    assert found.loc["ann", "recency_days"] == pytest.approx(9 + (21 + 20 / 60) / 24)
    assert found.loc["ann"].tolist()[1:] == [1, 6, 3, 2, 0]


def test_popularity_counts_users(events):
    found = behavior.popularity(events)
    assert found["item_id"].tolist() == ["cup", "jar", "pan", "pot"]
    assert found["n_users"].tolist() == [2, 1, 1, 1]
    assert found["n_events"].tolist() == [5, 1, 2, 1]
    assert found["share"].tolist() == pytest.approx([0.4, 0.6, 0.8, 1.0])


def test_inequality_of_items(events):
    assert behavior.gini(behavior.popularity(events)) == pytest.approx(0.15)  # 2, 1, 1, 1
    for n_users, expected in (([3, 3, 3], 0), ([9, 0, 0], 2 / 3), ([5, 3, 1], 8 / 27)):
        shares = pd.DataFrame({"share": np.cumsum(n_users) / sum(n_users)})
        assert behavior.gini(shares) == pytest.approx(expected)
    assert np.isnan(behavior.gini(behavior.popularity(events.where(np.zeros(9, bool)))))


def test_drift_between_periods(events):
    found = behavior.drift(events, days=4)
    assert found["n_events"].tolist() == [7, 0, 2]
    assert found["n_users"].tolist() == [2, 0, 1]
    assert found["new_users"].tolist()[::2] == [1.0, 0.0]
    assert found["new_items"].tolist()[::2] == [1.0, 0.5]  # the jar
    assert found["distance"].isna().all()  # the middle is empty
    both = behavior.drift(events, days=6)["distance"].tolist()
    before, after = np.array([4, 2, 1, 0]) / 7, np.array([1, 0, 0, 1]) / 2
    middle = (before + after) / 2

    def divergence(p):
        return sum(a * np.log2(a / m) for a, m in zip(p, middle, strict=True) if a > 0)

    assert both[1] == pytest.approx(np.sqrt((divergence(before) + divergence(after)) / 2))


def test_many_periods_of_many_items_need_little_memory():
    """As a table of periods and items these would be 128 MB."""
    n = 4000
    days = pd.date_range("2010-01-01", periods=n, tz="UTC")
    table = pd.DataFrame({"user_id": 1, "item_id": range(n), "event": "view", "timestamp": days})
    log = read_events(table)
    tracemalloc.start()
    found = behavior.drift(log, days=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert len(found) == n
    assert (found["distance"][1:] == 1).all()
    assert found["new_users"].sum() == 1


def test_a_log_without_events_has_no_periods(events):
    found = behavior.drift(events.where(np.zeros(9, bool)))
    assert found.columns.tolist() == behavior.drift(events).columns.tolist()
    assert found.empty


def test_what_a_catalogue_shows(events):
    items = pd.DataFrame({"item_id": ["cup", "jar", "pan"]})
    photo = np.full((16, 16, 3), 200, np.uint8)
    catalog = read_catalog(items, {"cup": photo, "pan": photo}, size=16, max_missing_fraction=0.9)
    found = behavior.photo_coverage(events, catalog).set_index("what")
    assert found.loc["items"].tolist() == [4, 0.75, 0.5]
    assert found.loc["events"].tolist() == pytest.approx([9, 8 / 9, 7 / 9])
    assert found.loc["users"].tolist() == [2, 1, 1]


def test_lengths_must_be_in_range(events):
    with pytest.raises(ConfigError, match="gap_minutes = 0"):
        behavior.sessions(events, gap_minutes=0)
    for days in (-1, 1e-9, 1e9, float("nan")):
        with pytest.raises(ConfigError, match=r"days = \S+: expected 0.001 to 36,500"):
            behavior.drift(events, days=days)
    with pytest.raises(ConfigError, match="gap_minutes = 1e\\+18"):
        behavior.sessions(events, gap_minutes=1e18)
