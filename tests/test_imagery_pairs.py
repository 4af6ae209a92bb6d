"""Which vectors the photos of a log are learned with."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.sparse import csr_array

from prodgen_rec.ids import IdMap
from prodgen_rec.imagery import Pairs, taken_pairs
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS

EVIDENCE = np.array(
    [
        [5.0, 1.0, 0.0, 0.0, 2.0, 0.0],
        [0.0, 5.0, 3.0, 0.0, 0.0, -1.0],
        [1.0, 0.0, 1.0, 4.0, 0.0, 2.0],
        [0.0, 0.0, 0.0, 5.0, 0.0, 0.0],
    ],
    np.float32,
)
PHOTO_ROWS = np.array([2, 0, -1, 1, 3, 4])
TAKEN = [(u, i) for u, i in zip(*np.nonzero(EVIDENCE > 0), strict=True) if PHOTO_ROWS[i] >= 0]


def fitted(rows: list[int] | None = None) -> ALS:
    rows = list(range(4)) if rows is None else rows
    users = IdMap.of([f"user {row}" for row in rows])
    items = IdMap.of([f"item {i}" for i in range(6)])
    return ALS(3, 1.0, 2.0).fit(Interactions(users, items, csr_array(EVIDENCE[rows])))


def folded(recommender: ALS, history: np.ndarray) -> np.ndarray:
    one = Interactions(IdMap.of(["x"]), recommender.items_, csr_array(history[None]))
    return recommender.fold_in(one)[0]


def conditions(pairs: Pairs) -> np.ndarray:
    return pairs.vectors[pairs.vector_rows]


@pytest.mark.parametrize("kind", ["full", "leave_one_out", "item"])
def test_the_vector_of_a_pair_is_what_folding_in_its_history_gives(kind: str) -> None:
    recommender = fitted()
    pairs = taken_pairs(recommender, PHOTO_ROWS, vectors=(kind,))
    assert pairs.photo_rows.tolist() == [PHOTO_ROWS[i] for _, i in TAKEN]
    mean = EVIDENCE[EVIDENCE > 0].mean()
    for (user, item), vector in zip(TAKEN, conditions(pairs), strict=True):
        only = np.arange(6) == item
        history = {
            "full": EVIDENCE[user],
            "leave_one_out": np.where(only, 0, EVIDENCE[user]),
            "item": np.where(only, mean, 0),
        }[kind]
        expected = folded(recommender, history.astype(np.float32))
        np.testing.assert_allclose(vector, expected, rtol=1e-4, atol=1e-5)


def test_a_subset_is_some_of_the_history_and_never_nothing() -> None:
    sizes = []
    for seed in range(12):
        recommender = fitted()
        recommender.seed = seed
        pairs = taken_pairs(recommender, PHOTO_ROWS, vectors=("subset",))
        for user, vector in enumerate(pairs.vectors):
            touched = np.flatnonzero(EVIDENCE[user])
            parts = [
                list(part)
                for n in range(1, len(touched) + 1)
                for part in itertools.combinations(touched, n)
            ]
            distances = [
                np.abs(folded(recommender, EVIDENCE[user] * np.isin(range(6), part)) - vector).max()
                for part in parts
            ]
            assert min(distances) < 1e-5
            sizes.append(len(parts[int(np.argmin(distances))]) / len(touched))
    assert {1.0} < set(sizes)  # all of it, and less


def test_the_subset_of_a_user_does_not_depend_on_who_else_there_is() -> None:
    everyone, two = fitted(), fitted([1, 3])
    two.item_vectors_, two.typical_pairs_ = everyone.item_vectors_, everyone.typical_pairs_
    pairs = [taken_pairs(one, PHOTO_ROWS, vectors=("subset",)) for one in (everyone, two)]
    np.testing.assert_array_equal(pairs[0].vectors[[1, 3]], pairs[1].vectors)


def test_a_part_of_nothing_is_nothing() -> None:
    nobody = Interactions(IdMap.of(["a", "b"]), IdMap.of([1, 2, 3]), csr_array((2, 3), dtype="f4"))
    assert nobody.thinned(0).n_pairs == 0
    assert not nobody.of_single_items().matrix.toarray().any()


def test_a_mixture_holds_every_pair_once_for_each_kind() -> None:
    recommender = fitted()
    kinds = ("item", "full", "leave_one_out", "full")
    alone = [taken_pairs(recommender, PHOTO_ROWS, vectors=(kind,)) for kind in kinds]
    mixed = taken_pairs(recommender, PHOTO_ROWS, vectors=kinds)
    np.testing.assert_array_equal(
        conditions(mixed), np.concatenate([conditions(one) for one in alone])
    )
    for name in ("photo_rows", "weights"):
        expected = np.concatenate([getattr(one, name) for one in alone])
        np.testing.assert_array_equal(getattr(mixed, name), expected)
