from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodgen_rec.errors import InputError
from prodgen_rec.imagery import Pairs, Whitening, user_balanced_weights
from prodgen_rec.imagery.condition import finite_rows

WEIGHTS = np.random.default_rng(1).uniform(0.1, 3, 400)


def _correlated(n: int = 400, d: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 5 * rng.normal(size=d)).astype(
        np.float32
    )


def test_whitened_pairs_have_mean_0_and_covariance_1_under_their_weights() -> None:
    vectors = _correlated()
    whitening = Whitening.fit(vectors, WEIGHTS)
    conditions = whitening.conditions(vectors)
    white, known = conditions[:, :-1].astype(np.float64), conditions[:, -1]
    share = WEIGHTS / WEIGHTS.sum()
    assert conditions.dtype == np.float32
    np.testing.assert_allclose(share @ white, 0, atol=1e-5)
    np.testing.assert_allclose((white * share[:, None]).T @ white, np.eye(6), atol=1e-4)
    assert (known == 1).all()


def test_whitening_is_the_inverse_root_of_the_covariance() -> None:
    vectors = _correlated()
    covariance = np.cov(vectors.T, aweights=WEIGHTS, ddof=0)
    matrix = Whitening.fit(vectors, WEIGHTS).matrix.astype(np.float64)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    np.testing.assert_allclose(matrix @ covariance @ matrix, np.eye(6), atol=1e-4)
    assert (np.linalg.eigvalsh(matrix) > 0).all()


def test_an_integer_weight_is_a_repeated_row() -> None:
    vectors, times = _correlated(50), np.random.default_rng(2).integers(0, 4, 50)
    weighted = Whitening.fit(vectors, times.astype(np.float64))
    repeated = Whitening.fit(np.repeat(vectors, times, axis=0), np.ones(times.sum()))
    np.testing.assert_allclose(weighted.mean, repeated.mean, atol=1e-5)
    np.testing.assert_allclose(weighted.matrix, repeated.matrix, rtol=1e-4, atol=1e-5)


def test_a_constant_direction_stays_constant() -> None:
    vectors = _correlated()
    vectors[:, 2] = 7.25
    whitening = Whitening.fit(vectors, WEIGHTS)
    white = whitening.conditions(vectors)
    np.testing.assert_allclose(white[:, 2], 0, atol=1e-4)
    # One that leaves the constant is not blown up: its direction keeps the scale of the floor.
    vectors[0, 2] += 0.5
    variances = np.linalg.eigvalsh(np.cov(vectors[1:].T, aweights=WEIGHTS[1:], ddof=0))
    assert abs(whitening.conditions(vectors)[0, 2]) < 0.6 / np.sqrt(1e-3 * variances.mean())


@pytest.mark.parametrize("value", [0.0, 0.1, -1e4, 1e-20])
def test_vectors_that_are_all_equal_give_finite_conditions(value: float) -> None:
    vectors = np.full((30, 3), value, np.float32)
    whitening = Whitening.fit(vectors, np.linspace(0.1, 1, 30))
    np.testing.assert_allclose(whitening.conditions(vectors)[:, :3], 0, atol=1e-3)
    near = vectors + np.float32(1e-6 * abs(value))
    assert np.abs(whitening.conditions(near)).max() <= 1


def test_equal_vectors_have_equal_conditions_wherever_they_stand() -> None:
    matrix = np.random.default_rng(6).normal(size=(40, 40)).astype(np.float32)
    vectors = np.repeat(matrix[:1], 70, axis=0)
    conditions = Whitening(matrix[1], matrix).conditions(vectors)
    assert (conditions == conditions[0]).all()  # one product of all rows rounds some otherwise


def test_identity_changes_nothing() -> None:
    vectors = _correlated(5)
    assert np.array_equal(Whitening.identity(6).conditions(vectors)[:, :6], vectors)


def test_a_zero_vector_is_no_preference() -> None:
    vectors = _correlated()
    whitening = Whitening.fit(vectors, WEIGHTS)
    vectors[[3, 5]] = 0
    conditions = whitening.conditions(vectors)
    assert (conditions[[3, 5]] == 0).all()
    assert (conditions[[2, 4], -1] == 1).all()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.floats(0.01, 100)),
        min_size=1,
        max_size=40,
    )
)
def test_the_pairs_of_a_user_weigh_the_root_of_their_number(pairs: list[tuple[int, float]]) -> None:
    user, evidence = np.array([u for u, _ in pairs]), np.array([e for _, e in pairs])
    weights = user_balanced_weights(user, evidence)
    for one in set(user):
        own = user == one
        assert weights[own].sum() == pytest.approx(np.sqrt(own.sum()))
        np.testing.assert_allclose(weights[own] / weights[own][0], evidence[own] / evidence[own][0])


def test_refused_pairs() -> None:
    vectors, rows, weights = np.ones((3, 2), np.float32), np.arange(3), np.ones(3)
    with pytest.raises(InputError, match="as many vector rows as photo rows and weights, got 3, 2"):
        Pairs(vectors, rows, rows[:2], weights)
    with pytest.raises(
        InputError, match=r"no training pairs.* item ids of the log and of the phot"
    ):
        Pairs(vectors[:0], rows[:0], rows[:0], weights[:0])
    holed = vectors.copy()
    holed[1:, 0] = np.nan
    with pytest.raises(InputError, match=r"vectors of the pairs: 2 of 3 rows .* first is row 1"):
        Pairs(holed, rows, rows, weights)
    for bad in ([1, -1, 1], [0, 0, 0], [1, np.nan, 1]):
        with pytest.raises(InputError, match="weights of pairs must be finite and at least 0"):
            Pairs(vectors, rows, rows, np.array(bad, np.float64))
    for bad_row in (-1, 9):
        with pytest.raises(InputError, match=f"1 of 3 pairs .* pair 1 has photo row {bad_row}, ph"):
            Pairs(vectors, rows, np.array([0, bad_row, 8]), weights).check_photo_rows(9)
    for bad_row in (-1, 3):
        with pytest.raises(InputError, match=f"pair 2 has vector row {bad_row}, vectors are 0 to"):
            Pairs(vectors, np.array([0, 1, bad_row]), rows, weights)


def test_refused_rows() -> None:
    for wrong in (np.ones(3), np.ones((2, 4)), np.ones((2, 3, 1))):
        with pytest.raises(InputError, match=r"vectors must have shape \(n, 3\), got \("):
            finite_rows(wrong, 3, "vectors")
    assert finite_rows(np.ones((0, 3)), 3, "vectors").dtype == np.float32
