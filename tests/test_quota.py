"""At most so many items of a group in a list: what going down the whole list gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from prodgen_rec import ALS, EASE, Interactions, Quota
from prodgen_rec.errors import InputError
from prodgen_rec.ids import IdMap

N_USERS, N_ITEMS = 12, 40


def _world() -> Interactions:
    taken = np.random.default_rng(0).random((N_USERS, N_ITEMS)) < 0.2
    ids = IdMap.of([f"u{i:02}" for i in range(N_USERS)]), IdMap.of(range(N_ITEMS))
    return Interactions(*ids, csr_array(taken, dtype=np.float32))


WORLD = _world()
MODELS = [ALS(8, iterations=3).fit(WORLD), EASE(1.0).fit(WORLD)]


def _going_down(ranked: pd.DataFrame, groups: dict[int, object], most: int, n: int) -> list[int]:
    chosen: list[int] = []
    for item in ranked["item_id"]:
        group = groups.get(item)
        used = sum(group is not None and groups.get(other) == group for other in chosen)
        if used < most:
            chosen.append(item)
    return chosen[:n]


@settings(max_examples=40, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    groups=st.dictionaries(
        st.integers(0, N_ITEMS - 1), st.sampled_from(["a", "b", "c", None]), min_size=1
    ),
    most=st.integers(1, 3),
    n=st.integers(1, 12),
)
def test_equals_going_down_the_whole_list(model, groups, most, n):
    quota = Quota(groups, most)
    for user in WORLD.users.ids:
        n_left = N_ITEMS - len(WORLD.history(user))
        expected = _going_down(model.recommend([user], n_left), groups, most, n)
        if len(expected) < n:
            with pytest.raises(
                InputError, match=rf"{user}.*{n} items asked for, {len(expected)} of"
            ):
                model.recommend([user], n, quota=quota)
        else:
            alone = model.recommend([user], n, quota=quota)
            assert alone["item_id"].tolist() == expected
            assert alone["rank"].tolist() == list(range(1, n + 1))


def test_users_together_and_alone_get_the_same_lists_and_scores():
    quota = Quota({item: item % 3 for item in range(N_ITEMS)}, 2)
    for model in MODELS:
        together = model.recommend(None, 5, quota=quota, blocked=[7])
        alone = [model.recommend([user], 5, quota=quota, blocked=[7]) for user in WORLD.users.ids]
        pd.testing.assert_frame_equal(together, pd.concat(alone, ignore_index=True))
        assert (
            together.groupby("user_id")["item_id"].agg(lambda i: (i % 3).value_counts().max()).max()
            == 2
        )
        plain = model.recommend(None, N_ITEMS, exclude_seen=False).set_index(["user_id", "item_id"])
        given = together.set_index(["user_id", "item_id"])["score"]
        np.testing.assert_allclose(given, plain["score"].loc[given.index], rtol=1e-6)


def test_items_of_no_group_are_not_limited():
    model = MODELS[0]
    unlimited = Quota({0: None, 1: float("nan"), 99: "a"}, 1)
    pd.testing.assert_frame_equal(
        model.recommend(None, 9, quota=unlimited), model.recommend(None, 9)
    )


def test_a_quota_of_nothing_is_refused():
    for most in (0, 1.5):
        with pytest.raises(
            InputError, match=f"n = {most}: expected a whole number of items of a group"
        ):
            Quota({}, most)


def test_what_is_no_quota_is_refused():
    with pytest.raises(InputError, match=r"quota: expected Quota, got dict; pass Quota\(groups"):
        MODELS[0].recommend(None, 1, quota={0: "a"})
    with pytest.raises(InputError, match=r"groups: expected a mapping .* got Series; dict\(zip"):
        Quota(pd.Series(["a", "b"]), 1)
