"""Evidence of user and item pairs, against closed forms and a plain double loop."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, csr_matrix

from prodgen_rec.columns import EVENT_WEIGHTS
from prodgen_rec.errors import ConfigError, EventsError, InputError, UnknownIdError
from prodgen_rec.events import read_events
from prodgen_rec.ids import IdMap, as_id_array
from prodgen_rec.interactions import Interactions, build_interactions

START = datetime(2024, 1, 1, tzinfo=UTC)


def log(*rows, days=None):
    """Events of (user, item, event, quantity), one day apart unless told."""
    days = range(len(rows)) if days is None else days
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event", "quantity"])
    return read_events(frame.assign(timestamp=[START + timedelta(days=day) for day in days]))


LOG = log(
    (2, "b", "purchase", 4),
    (1, "a", "view", 1),
    (2, "b", "return", 4),
    (2, "a", "cart", 1),
    (1, "a", "view", 1),
    (2, "c", "return", 1),
)


def test_matrix_of_a_small_log():
    interactions = build_interactions(LOG)
    assert interactions.users.ids.tolist() == [1, 2]
    assert interactions.items.ids.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(interactions.matrix.toarray(), [[2, 0, 0], [3, 0, -5]])
    assert interactions.matrix.dtype == np.float32
    assert interactions.matrix.has_canonical_format
    assert repr(interactions) == "Interactions(2 users × 3 items, 4 pairs)"


def test_indices_are_as_narrow_as_implicit_needs_them():
    interactions = build_interactions(LOG)
    for one in (
        interactions,
        interactions.for_items(IdMap.of(["c", "d"])),
        interactions.for_users([2]),
    ):
        assert {one.matrix.indices.dtype, one.matrix.indptr.dtype} == {np.dtype(np.int32)}


def test_what_cancels_out_is_still_seen():
    matrix = build_interactions(LOG).matrix
    assert matrix.indices.tolist() == [0, 0, 1, 2]
    assert matrix.data.tolist() == [2, 3, 0, -5]


def test_quantity_counts_by_its_root():
    events = log((1, 1, "purchase", 10), (1, 2, "purchase", 0))
    assert build_interactions(events).matrix.data.tolist() == [np.float32(5 * 10**0.5), 0]


def test_decay_halves_per_half_life():
    events = log(*[(1, item, "view", 1) for item in range(4)], days=[0, 10, 20, 30])
    decayed = build_interactions(events, half_life_days=10)
    np.testing.assert_array_equal(decayed.matrix.toarray(), [[1 / 8, 1 / 4, 1 / 2, 1]])
    later = build_interactions(events, half_life_days=10, reference_time=START + timedelta(days=40))
    np.testing.assert_array_equal(later.matrix.toarray(), [[1 / 16, 1 / 8, 1 / 4, 1 / 2]])
    earlier = build_interactions(events, half_life_days=10, reference_time=datetime(2024, 1, 11))
    np.testing.assert_array_equal(earlier.matrix.toarray(), [[1 / 2, 1, 1, 1]])


ROWS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, 4),
        st.sampled_from(list(EVENT_WEIGHTS)),
        st.floats(0, 100, width=32),
        st.integers(0, 100),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_sum_over_events_in_any_order(rows, random):
    def build(rows):
        *events, days = zip(*rows, strict=True)
        return build_interactions(log(*zip(*events, strict=True), days=days), half_life_days=30)

    newest = max(day for *_, day in rows)
    expected: dict[tuple[int, int], float] = defaultdict(float)
    for user, item, event, quantity, day in rows:
        expected[user, item] += EVENT_WEIGHTS[event] * quantity**0.5 * 0.5 ** ((newest - day) / 30)
    interactions = build(rows)
    found = interactions.matrix.tocoo()
    users, items = interactions.users.take(found.row), interactions.items.take(found.col)
    pairs = dict(zip(zip(users, items, strict=True), found.data, strict=True))
    assert pairs.keys() == expected.keys()
    for pair, value in expected.items():
        assert pairs[pair] == pytest.approx(value, rel=1e-6, abs=1e-5)

    again = build(random.sample(rows, len(rows)))
    assert again.users == interactions.users
    assert again.items == interactions.items
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(
            getattr(again.matrix, part), getattr(interactions.matrix, part)
        )


def test_for_items_keeps_users_and_drops_what_is_unknown():
    moved = build_interactions(LOG).for_items(IdMap.of(["0", "a", "c", "d"]))
    np.testing.assert_array_equal(moved.matrix.toarray(), [[0, 2, 0, 0], [0, 3, -5, 0]])
    assert moved.n_items == 4
    assert moved.matrix.has_canonical_format
    # An explicit 0 survives the move, and unsorted new columns end up sorted.
    back = build_interactions(LOG).for_items(IdMap(IdMap.of(["a", "b"]).arrow[::-1]))
    assert back.matrix.indices.tolist() == [1, 0, 1]
    assert back.matrix.data.tolist() == [2, 0, 3]
    assert build_interactions(LOG).for_items(IdMap.of(["z"])).n_pairs == 0


def test_for_users_takes_rows_in_order():
    interactions = build_interactions(LOG)
    turned = interactions.for_users([2, 1])
    assert turned.users.ids.tolist() == [2, 1]
    np.testing.assert_array_equal(turned.matrix.toarray(), [[3, 0, -5], [2, 0, 0]])
    assert turned.n_pairs == 4
    with pytest.raises(UnknownIdError, match="1 of 2 users are unknown, the first is 7"):
        interactions.for_users([1, 7])
    with pytest.raises(InputError, match="1 of the 3 users are named more than once"):
        interactions.for_users([1, 2, 1])


def test_history_is_sorted_by_value_then_id():
    events = log((1, "b", "view", 1), (1, "a", "view", 1), (1, "c", "cart", 1))
    history = build_interactions(events).history(1)
    assert history["item_id"].tolist() == ["c", "a", "b"]
    assert history["value"].tolist() == [3, 1, 1]
    with pytest.raises(UnknownIdError, match="the first is 2"):
        build_interactions(events).history(2)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"event_weights": {"veiw": 1}}, "names 'veiw', which the log was not read with; it was"),
        ({"event_weights": {"view": 1}}, "has no weight for 'cart', 'purchase', 'return', which"),
        ({"event_weights": {"view": float("inf")}}, r"\['view'\] is inf; expected a finite"),
        ({"event_weights": {}}, "event_weights is empty"),
        ({"half_life_days": 0}, "half_life_days is 0; expected a number above 0"),
        ({"half_life_days": float("nan")}, "half_life_days is nan"),
        ({"half_life_days": float("inf")}, "None for no decay"),
    ],
)
def test_settings_are_checked(changes, text):
    with pytest.raises(ConfigError, match=text):
        build_interactions(LOG, **changes)


def test_weights_of_absent_events_need_not_be_given():
    events = log((1, 1, "view", 1))
    assert build_interactions(events, event_weights={"view": 0.0}).matrix.data.tolist() == [0]
    assert build_interactions(events, event_weights={"view": 0.0}).n_pairs == 1


def test_no_events_are_refused():
    nothing = LOG.where(np.zeros(len(LOG), bool))
    with pytest.raises(EventsError, match=r"there are no events in Events\(0 rows; 6 rows read"):
        build_interactions(nothing)


# Matrices of one's own

DENSE = np.array([[1, 0, 2], [0, 3, -1]], np.float32)


def parts(data, indices, indptr):
    return csr_array((np.array(data, np.float32), indices, indptr), shape=(2, 3))


def out_of_range():
    matrix = csr_array(DENSE)
    matrix.indices[0] = 7
    return matrix


@pytest.mark.parametrize(
    ("matrix", "text"),
    [
        (csr_array(DENSE.T), r"shape \(3, 2\), expected \(2, 3\); it is the .* pass matrix.T"),
        (csr_array(DENSE[:, :2]), r"users × items: .* shape \(2, 2\), expected \(2, 3\)$"),
        (csr_array(DENSE, dtype=np.float64), "is float64, expected float32; make it with csr_arr"),
        (csr_array(DENSE > 0), "is bool, expected float32"),
        (csr_array(DENSE).tocsc(), "expected a scipy.sparse.csr_array, got csc_array"),
        (csr_array(DENSE).tocoo(), "got coo_array"),
        (csr_matrix(DENSE), "got csr_matrix"),
        (DENSE, "got ndarray"),
        (parts([1, 1, 2], [0, 0, 2], [0, 2, 3]), "stores a pair twice, or columns .* out of order"),
        (parts([1, 1, 2], [2, 0, 2], [0, 2, 3]), "sort them with matrix.sum_duplicates"),
        (out_of_range(), "do not fit together: .*indices must be < 3"),
        (
            parts([1, np.nan, 2], [0, 1, 2], [0, 1, 3]),
            "user 'b' for item 8 is nan; expected finite",
        ),
        (parts([1, 1, -np.inf], [0, 1, 2], [0, 1, 3]), "user 'b' for item 9 is -inf"),
    ],
)
def test_a_matrix_that_would_be_misread_is_refused(matrix, text):
    with pytest.raises(InputError, match=text):
        Interactions(IdMap.of(["a", "b"]), IdMap.of([7, 8, 9]), matrix)


def test_wide_indices_and_explicit_zeros_are_kept():
    matrix = parts([1, 0, 2], np.array([0, 1, 2]), np.array([0, 2, 3]))
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    interactions = Interactions(IdMap.of(["a", "b"]), IdMap.of([7, 8, 9]), matrix)
    assert interactions.history("a").to_numpy().tolist() == [[7, 1], [8, 0]]


def test_ids_of_a_matrix_keep_their_order():
    """`IdMap.of` would give the evidence of one user to another."""
    users = as_id_array(["zoe", "ann"])
    interactions = Interactions(IdMap(users), IdMap.of([7, 8, 9]), csr_array(DENSE))
    assert interactions.history("zoe")["item_id"].tolist() == [9, 7]
    with pytest.raises(InputError, match=r"an IdMap of users, got list; IdMap\(as_id_array"):
        Interactions(["zoe", "ann"], IdMap.of([7, 8, 9]), csr_array(DENSE))


def test_an_id_with_two_places_is_refused():
    """Its second row would never be found again."""
    twice = IdMap(as_id_array(["zoe", "ann", "ann"]))
    with pytest.raises(InputError, match="the IdMap of users holds 'ann' more than once"):
        Interactions(twice, IdMap.of([7, 8]), csr_array((3, 2), dtype=np.float32))
    with pytest.raises(InputError, match="the IdMap of items holds 7 more than once; expected one"):
        Interactions(IdMap.of(["a"]), IdMap(as_id_array([7, 7])), csr_array((1, 2), dtype="f4"))


@pytest.mark.parametrize(
    ("ids", "came"),
    [
        (["ann"], "got list"),
        (pa.array([1.5]), "got double with 0 nulls"),
        (pa.array(["ann", None]), "got string with 1 nulls"),
        (pa.array([7], pa.int32()), "got int32 with 0 nulls"),
    ],
)
def test_a_map_of_what_are_no_ids_is_refused(ids, came):
    with pytest.raises(InputError, match=rf"{came}; IdMap\(as_id_array\(ids\)\) makes one"):
        IdMap(ids)
