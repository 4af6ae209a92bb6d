"""What lists are worth beside their hits, against definitions written out."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.spatial.distance import cosine
from scipy.stats import entropy

from prodgen_rec.errors import InputError
from prodgen_rec.evaluation.variety import evaluate_variety
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions

N_USERS, N_ITEMS, K = 6, 9, 3
KINDS = pd.Series([*"aabbccd"], index=[f"i{i}" for i in range(7)])  # i7 and i8 have none


def world(seed):
    rng = np.random.default_rng(seed)
    taken = np.where(rng.random((N_USERS, N_ITEMS)) < 0.4, rng.choice([1, 5, -1]), 0)
    items = IdMap.of([f"i{i}" for i in range(N_ITEMS)])
    history = Interactions(IdMap.of(range(N_USERS)), items, csr_array(taken.astype(np.float32)))
    lists = [(u, r + 1, f"i{i}") for u in range(4) for r, i in enumerate(rng.permutation(N_ITEMS))]
    future = [(u, f"i{i}") for u in range(N_USERS) for i in rng.permutation(N_ITEMS)[:2]]
    return (
        history,
        pd.DataFrame(lists, columns=["user_id", "rank", "item_id"]).sample(frac=1, random_state=1),
        pd.DataFrame(future, columns=["user_id", "item_id"]),
        rng.normal(size=(N_ITEMS, 4)).astype(np.float32),
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_every_figure_agrees_with_its_definition(seed):
    history, lists, future, vectors = world(seed)
    found = evaluate_variety(
        lists, history, k=K, holdout=future, vectors=vectors, categories=KINDS, n_boot=2
    )
    liked = history.matrix.toarray() > 0
    popular = sorted(range(N_ITEMS), key=lambda i: (-liked[:, i].sum(), i))[:K]
    exposure = np.zeros(N_ITEMS)
    for user in range(4):
        one = lists[(lists["user_id"] == user) & (lists["rank"] <= K)].sort_values("rank")
        items = [int(item[1:]) for item in one["item_id"]]
        exposure[items] += 1
        taken = {int(item[1:]) for item in future[future["user_id"] == user]["item_id"]}
        row = found.per_user.loc[user]
        novelty = [-np.log2((liked[:, i].sum() + 1) / (N_USERS + 1)) for i in items]
        assert row["novelty"] == pytest.approx(np.mean(novelty), abs=1e-8)
        surprising = [i in taken and i not in popular for i in items]
        assert row["serendipity"] == pytest.approx(np.mean(surprising), abs=1e-8)
        apart = [
            cosine(*vectors[[i, j]].astype(float)) for i, j in itertools.combinations(items, 2)
        ]
        assert row["diversity"] == pytest.approx(np.mean(apart), abs=1e-8)
        assert row["calibration"] == pytest.approx(calibration(liked[user], items), abs=1e-8)
    assert found.coverage == pytest.approx((exposure > 0).mean(), abs=1e-8)
    differences = np.abs(np.subtract.outer(exposure, exposure)).mean()
    assert found.gini == pytest.approx(differences / (2 * exposure.mean()), abs=1e-8)
    for name, interval in found.intervals.items():
        assert interval.value == pytest.approx(found.per_user[name].mean(), abs=1e-12)


def calibration(liked, items):
    def shares(index):
        kinds = KINDS.reindex([f"i{i}" for i in index]).dropna()
        return kinds.value_counts(normalize=True).reindex([*"abcd"]).fillna(0.0).to_numpy()

    before, listed = shares(np.flatnonzero(liked)), shares(items)
    if not before.any() or not listed.any():
        return 0.0
    return entropy(before, 0.99 * listed + 0.01 * before)


def test_the_same_list_for_all_is_as_unequal_as_can_be():
    history, _, _, _ = world(0)
    same = pd.DataFrame(
        [(u, r + 1, f"i{r}") for u in range(N_USERS) for r in range(K)],
        columns=["user_id", "rank", "item_id"],
    )
    found = evaluate_variety(same, history, k=K, n_boot=2)
    assert found.coverage == pytest.approx(K / N_ITEMS)
    assert found.gini == pytest.approx(1 - K / N_ITEMS)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t[t["rank"] != 2], "lists of 3 items were expected, but that of user 0 has 2"),
        (lambda t: t.assign(item_id="i77"), "the lists hold 'i77', which is none of 9 items"),
        (lambda t: t[:0], "lists of 3 items were expected, but none"),
    ],
)
def test_lists_that_cannot_be_judged_are_refused(change, complaint):
    history, lists, _, _ = world(1)
    with pytest.raises(InputError, match=complaint):
        evaluate_variety(change(lists), history, k=K)
