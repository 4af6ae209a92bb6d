"""Exact top-n: the same as sorting float64 scores of everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from prodgen_rec.errors import InputError
from prodgen_rec.preferences import top_n, topk


def sort_everything(users, items, n, allowed=None, excluded=None):
    score = np.vecdot(users.astype(float)[:, None], items.astype(float)[None])
    index = np.broadcast_to(np.arange(len(items)), score.shape)
    out = np.zeros(score.shape, bool)
    if allowed is not None:
        out[:, ~allowed] = True
    if excluded is not None:
        out |= excluded
    order = np.lexsort((index, -score, out), axis=1)[:, :n]
    return order, np.take_along_axis(score, order, axis=1)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n_items=st.sampled_from([12, 40, 1300]),
    n=st.integers(1, 6),
    n_values=st.sampled_from([2, 3, 1000]),
    scale=st.sampled_from([1e-30, 1e-19, 1e-3, 1.0, 1e6]),
    per_block=st.integers(1, 7),
    n_parts=st.integers(1, 3),
    n_lengths=st.sampled_from([1, 2, 12]),
)
def test_equals_sorting_everything_with_planted_ties(
    seed, n_items, n, n_values, scale, per_block, n_parts, n_lengths
):
    rng = np.random.default_rng(seed)
    users = (rng.integers(-n_values, n_values, (7, 3)) * scale).astype(np.float32)
    items = rng.integers(-n_values, n_values, (n_items, 3)).astype(np.float32)
    items *= np.float32(0.5) ** rng.integers(0, n_lengths, (n_items, 1))
    allowed = rng.random(n_items) < 0.9
    excluded = rng.random((7, n_items)) < 0.3
    if (allowed & ~excluded).sum(axis=1).min() < n:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk, "_USERS_AT_ONCE", per_block)
        patch.setattr(topk, "_ITEMS_AT_ONCE", -(-n_items // n_parts))
        patch.setattr(topk, "_LONGEST_AT_ONCE", 7)
        patch.setattr(topk, "_PAIRS_AT_ONCE", 5)
        index, score = top_n(users, items, n, allowed=allowed, excluded=csr_array(excluded))
    expected = sort_everything(users, items, n, allowed, excluded)
    np.testing.assert_array_equal(index, expected[0])
    np.testing.assert_array_equal(score, expected[1])


def test_short_items_are_left_out_unless_they_can_win(monkeypatch):
    scored = []
    groups = topk._Memory.groups

    def counted(memory, n_users, n_items, n):
        scored.append(n_items)
        return groups(memory, n_users, n_items, n)

    monkeypatch.setattr(topk._Memory, "groups", counted)
    long = np.tile(np.float32([[0.5, 1.0]]), (3000, 1))
    long[2999] = [0.0, 5.0]
    short = np.tile(np.float32([[0.25, 0.0]]), (4000, 1))
    users = np.float32([[1.0, 0.0]])
    for best, expected in ((0.5, 0), (0.51, 0), (0.49, 1)):  # as long as the score of the others
        items = np.concatenate([[[best, 0.0]], long, short]).astype(np.float32)
        scored.clear()
        index, _ = top_n(users, items, 1)
        assert index.tolist() == [[expected]]
        assert 3000 <= sum(scored) <= 3001, "all long ones, none of the short ones"


@pytest.mark.parametrize("n_items", [300, 5000])
def test_order_that_float32_cannot_tell(n_items):
    rng = np.random.default_rng(0)
    users = rng.standard_normal((50, 64)).astype(np.float32)
    items = (rng.standard_normal(64) + 1e-7 * rng.standard_normal((n_items, 64))).astype(np.float32)
    expected, score = sort_everything(users, items, 10)
    in_float32 = np.argsort(-(users @ items.T), axis=1, kind="stable")[:, :10]
    assert (in_float32 != expected).mean() > 0.1, "the trap does not trap"
    index, exact = top_n(users, items, 10)
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(exact, score)


def test_same_bits_for_any_blocks_and_threads(monkeypatch):
    rng = np.random.default_rng(1)
    users = rng.standard_normal((61, 32)).astype(np.float32)
    items = rng.standard_normal((2000, 32)).astype(np.float32)
    whole = top_n(users, items, 20, n_threads=1)
    monkeypatch.setattr(topk, "_USERS_AT_ONCE", 7)
    monkeypatch.setattr(topk, "_ITEMS_AT_ONCE", 900)
    blocks = top_n(users, items, 20, n_threads=3)
    alone = [top_n(user[None], items, 20) for user in users]
    for part, expected in enumerate(whole):
        np.testing.assert_array_equal(blocks[part], expected)
        np.testing.assert_array_equal(np.concatenate([one[part] for one in alone]), expected)


def test_a_zero_vector_gets_the_first_items_that_are_left():
    users = np.zeros((2, 4), np.float32)
    items = np.ones((3000, 4), np.float32)
    excluded = csr_array((np.ones(2), ([1, 1], [0, 2])), shape=(2, 3000))
    index, score = top_n(users, items, 3, excluded=excluded)
    assert index.tolist() == [[0, 1, 2], [1, 3, 4]]
    assert not score.any()


def test_a_user_with_few_items_left_among_many():
    rng = np.random.default_rng(2)
    users = rng.standard_normal((3, 8)).astype(np.float32)
    items = rng.standard_normal((4000, 8)).astype(np.float32)
    excluded = np.zeros((3, 4000), bool)
    excluded[1] = True
    excluded[1, [5, 517, 1029]] = False  # three that fall into one group
    index, _ = top_n(users, items, 3, excluded=csr_array(excluded))
    np.testing.assert_array_equal(index, sort_everything(users, items, 3, None, excluded)[0])


def test_too_few_items_are_refused_not_padded():
    users, items = np.ones((2, 4), np.float32), np.ones((5, 4), np.float32)
    excluded = csr_array((np.ones(3), ([1, 1, 1], [0, 1, 2])), shape=(2, 5))
    with pytest.raises(InputError, match="user vector 1: fewer than 3 items"):
        top_n(users, items, 3, excluded=excluded)
    for n in (0, 6):
        with pytest.raises(InputError, match=f"n = {n}: expected 1 to 5"):
            top_n(users, items, n)
    with pytest.raises(InputError, match="expected 1 to 2, the number of items allowed"):
        top_n(users, items, 3, allowed=np.arange(5) < 2)


def test_no_users_no_rows():
    index, score = top_n(np.empty((0, 4), np.float32), np.ones((5, 4), np.float32), 2)
    assert index.shape == score.shape == (0, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named(value):
    users, items = np.ones((4, 3), np.float32), np.ones((6, 3), np.float32)
    users[2, 1] = items[5, 0] = value
    with pytest.raises(InputError, match="item vector 5 is not finite"):
        top_n(users, items, 2)
    with pytest.raises(InputError, match="user vector 2 is not finite"):
        top_n(users, items, 2, allowed=np.arange(6) < 5)
    with pytest.raises(InputError, match=r"user vector 1 .*length 1\.73205e"):
        top_n(np.full((4, 3), [[1], [1e30], [1], [1]], np.float32), 1e30 * np.ones((6, 3)), 2)
