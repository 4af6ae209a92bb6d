"""Splits and the stable hashes that decide them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodgen_rec.errors import ConfigError, EventsError
from prodgen_rec.events import Events, read_events
from prodgen_rec.hashing import hash_ids, hash_pairs, user_seed
from prodgen_rec.splits import split_by_time, split_last_out, split_pairs, split_users

START = datetime(2024, 1, 1, tzinfo=UTC)


def log(users, items, days) -> Events:
    frame = pd.DataFrame({"user_id": users, "item_id": items, "event": "view"})
    return read_events(frame.assign(timestamp=[START + timedelta(days=int(day)) for day in days]))


def pairs(events: Events) -> set[tuple]:
    frame = events.to_pandas()
    return set(zip(frame["user_id"], frame["item_id"], strict=True))


def many(n: int = 3000, seed: int = 0) -> Events:
    rng = np.random.default_rng(seed)
    return log(rng.integers(0, 100, n), rng.integers(0, 50, n), rng.integers(0, 90, n))


SPLITS = {
    "time": lambda events: split_by_time(events, START + timedelta(days=60)),
    "newest": lambda events: split_by_time(events, 0.25),
    "last out": lambda events: split_last_out(events, 2),
    "pairs": lambda events: split_pairs(events, 0.3, seed=1),
    "users": lambda events: split_users(events, 0.4, seed=1),
}


@pytest.mark.parametrize("kind", SPLITS)
def test_every_split_is_complete_and_blind_to_order(kind):
    events = many()
    train, test = SPLITS[kind](events)
    rows = pd.concat([train.to_pandas(), test.to_pandas()])
    columns = rows.columns.tolist()
    whole = events.to_pandas().sort_values(columns, ignore_index=True)
    pd.testing.assert_frame_equal(rows.sort_values(columns, ignore_index=True), whole)

    order = np.random.default_rng(2).permutation(len(events))
    shuffled = Events(events.table.take(pa.array(order)), events.quarantine, events.report)
    again = SPLITS[kind](shuffled).test.to_pandas()
    pd.testing.assert_frame_equal(
        again.sort_values(columns, ignore_index=True),
        test.to_pandas().sort_values(columns, ignore_index=True),
    )


@pytest.mark.parametrize("kind", ["last out", "pairs", "users"])
def test_no_pair_is_on_both_sides(kind):
    train, test = SPLITS[kind](many())
    assert not pairs(train) & pairs(test)


def test_split_by_time_puts_the_cutoff_into_test():
    events = log([1, 2, 3, 4], [1, 1, 1, 1], [0, 1, 2, 3])
    train, test = split_by_time(events, datetime(2024, 1, 3))
    assert train.to_pandas()["user_id"].tolist() == [1, 2]
    assert test.to_pandas()["user_id"].tolist() == [3, 4]


@pytest.mark.parametrize(("share", "n_test"), [(0.25, 1), (0.26, 3), (0.5, 3)])
def test_events_of_one_moment_stay_together(share, n_test):
    events = log([1, 2, 3, 4], [1, 1, 1, 1], [0, 2, 2, 3])
    assert len(split_by_time(events, share).test) == n_test


def test_last_out_takes_all_events_of_the_last_items():
    events = log(["a", "a", "a", "a", "b", "c", "c"], [1, 2, 3, 1, 1, 8, 9], [0, 1, 2, 3, 0, 5, 5])
    train, test = split_last_out(events)
    assert pairs(test) == {("a", 1), ("c", 9)}
    assert len(test) == 3
    assert pairs(train) == {("a", 2), ("a", 3), ("b", 1), ("c", 8)}
    assert pairs(split_last_out(events, 2).test) == {("a", 1), ("a", 3)}


@pytest.mark.parametrize(("fraction", "held_out"), [(0.01, 1), (0.07, 7), (0.071, 8), (0.999, 99)])
def test_pairs_are_rounded_up_and_leave_one(fraction, held_out):
    events = log([1] * 100 + [2], [*range(100), 0], [0] * 101)
    test = split_pairs(events, fraction).test.to_pandas()
    assert test["user_id"].tolist() == [1] * held_out


def test_pairs_of_a_user_do_not_depend_on_other_users():
    everyone = split_pairs(many(), 0.3, seed=5).test
    alone = many()
    alone = alone.where(alone.to_pandas()["user_id"].to_numpy() == 17)
    assert pairs(split_pairs(alone, 0.3, seed=5).test) == {
        pair for pair in pairs(everyone) if pair[0] == 17
    }


def test_seeds_draw_different_pairs_and_users():
    events = many()
    for split in (split_pairs, split_users):
        first, second = (pairs(split(events, 0.3, seed=seed).test) for seed in (0, 1))
        overlap = len(first & second) / len(first)
        assert 0.1 < overlap < 0.5


def test_users_are_held_out_as_a_whole_in_about_the_share():
    events = log(np.arange(20_000), np.zeros(20_000, int), np.zeros(20_000))
    n_test = len(split_users(events, 0.3, seed=3).test)
    # Binomial: four standard deviations are 259.
    assert abs(n_test - 6000) < 260


def test_a_part_keeps_the_account_of_the_read():
    events = many()
    train, test = split_by_time(events, 0.5)
    assert train.report is test.report is events.report
    assert train.codes("event")[0].equals(events.codes("event")[0])


@pytest.mark.parametrize(
    ("split", "text"),
    [
        (lambda e: split_by_time(e, 0.0), "fraction is 0.0; expected a number between 0 and 1"),
        (lambda e: split_by_time(e, 1), "fraction is 1; expected"),
        (lambda e: split_by_time(e, "2024-01-05"), "fraction is '2024-01-05'; expected a number"),
        (lambda e: split_pairs(e, float("nan")), "fraction is nan; expected"),
        (lambda e: split_users(e, -0.1), "fraction is -0.1; expected"),
        (lambda e: split_last_out(e, 0), "n is 0; expected at least 1"),
    ],
)
def test_settings_are_checked(split, text):
    with pytest.raises(ConfigError, match=text):
        split(many(10))


@pytest.mark.parametrize(
    ("split", "text"),
    [
        (lambda e: split_by_time(e, START), "leaves 0 events in train and 2 in test"),
        (lambda e: split_by_time(e, datetime(2030, 1, 1)), "2 events in train and 0 in test"),
        (lambda e: split_by_time(e, 0.5), "cutoff 0.5 leaves 0 events in train"),
        (lambda e: split_last_out(e), "n=1 leaves 2 events in train and 0 in test"),
        (lambda e: split_pairs(e), r"fraction=0\.2 leaves 2 events in train and 0"),
        (lambda e: split_users(e, 1e-9), r"leaves 2 events .* choose another setting for Events\("),
    ],
)
def test_an_empty_side_is_refused(split, text):
    with pytest.raises(EventsError, match=text):
        split(log([1, 2], [1, 1], [5, 5]))


@pytest.mark.parametrize("kind", SPLITS)
def test_nothing_cannot_be_split(kind):
    events = many(10)
    with pytest.raises(EventsError, match="leaves 0 events in train and 0 in test"):
        SPLITS[kind](events.where(np.zeros(10, bool)))


# ---------------------------------------------------------------- hashing


def test_hash_is_keyed_blake2b_of_the_text():
    digest = hashlib.blake2b(b"17", digest_size=8, key=b"42").digest()
    assert hash_ids([17], 42).tolist() == [int.from_bytes(digest, "little")]
    digest = hashlib.blake2b("é".encode(), digest_size=16, key=b"-1").digest()
    assert user_seed(-1, "é") == int.from_bytes(digest, "little")


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20), st.integers())
def test_ints_and_their_text_hash_alike_in_every_container(ids, seed):
    expected = hash_ids([str(one) for one in ids], seed)
    assert expected.dtype == np.uint64
    array = pa.array(ids, pa.int64())
    for same in (ids, array, array.dictionary_encode(), pa.chunked_array([array, array[:0]])):
        np.testing.assert_array_equal(hash_ids(same, seed), expected)
    assert [user_seed(seed, one) for one in ids] == [user_seed(seed, str(one)) for one in ids]
    assert [user_seed(seed, np.int64(one)) for one in ids] == [user_seed(seed, one) for one in ids]


def test_hashes_are_uniform_and_independent():
    users = hash_ids(np.arange(50_000), 0)
    mixed = hash_pairs(users, hash_ids(np.zeros(50_000, int), 0))
    for hashes in (users, mixed, hash_ids(np.arange(50_000), 1)):
        shares = np.bincount((hashes >> np.uint64(60)).astype(int), minlength=16) / 50_000
        assert np.abs(shares - 1 / 16).max() < 0.005  # 4.6 standard errors
    assert len(np.unique(mixed)) == 50_000
    assert hash_pairs(users[:1], users[1:2]) != hash_pairs(users[1:2], users[:1])
