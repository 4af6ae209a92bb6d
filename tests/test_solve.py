"""Exact user vectors: closed forms, another library's solver, and the same bits always."""

import tracemalloc

import numpy as np
import pytest
from implicit.cpu.als import user_factor
from scipy.sparse import csr_array, csr_matrix

from prodgen_rec.errors import InputError
from prodgen_rec.preferences import UserSolver, solve

GROWING = solve.Regularization(3.0, 0.5, 20.0)
LENGTHS = [0, 1, 1, 2, 3, 5, 8, 13, 24, 33, 60, 100, 0, 7]


def histories(seed=0, lengths=LENGTHS, n_items=120):
    """Evidence of every kind: liked, returned, and none."""
    rng = np.random.default_rng(seed)
    index = [np.sort(rng.permutation(n_items)[:length]) for length in lengths]
    start = np.concatenate([[0], np.cumsum(lengths)])
    value = rng.choice([0.3, 1.0, 5.0, 40.0, 0.0, -2.0], start[-1]).astype(np.float32)
    return csr_array((value, np.concatenate(index), start), shape=(len(lengths), n_items))


def item_vectors(n_factors, n_items=120):
    rng = np.random.default_rng(5)
    return (0.3 * rng.standard_normal((n_items, n_factors))).astype(np.float32)


def confidence_and_preference(row, alpha):
    row = row.astype(float)
    return 1 + alpha * np.abs(row), (row > 0).astype(float)


def by_definition(vectors, row, regularization, alpha):
    """Weighted ridge regression over the whole catalogue, without any shortcut."""
    y = vectors.astype(float)
    if isinstance(regularization, solve.Regularization):
        base, exponent, typical = regularization
        n = 2.0 ** np.ceil(np.log2(max(1, np.count_nonzero(row))))
        regularization = base * (n / typical) ** exponent
    c, p = confidence_and_preference(row, alpha)
    return np.linalg.solve(
        y.T @ (c[:, None] * y) + regularization * np.eye(y.shape[1]), y.T @ (c * p)
    )


@pytest.mark.parametrize("n_factors", [1, 6, 64])
@pytest.mark.parametrize(
    ("regularization", "alpha"),
    [(10.0, 20.0), (0.01, 1.0), (1.0, 0.0), (0.1, 1000.0), (GROWING, 2.0)],
)
def test_solution_is_the_minimum_of_the_objective(n_factors, regularization, alpha):
    vectors, matrix = item_vectors(n_factors), histories()
    solver = UserSolver(vectors, regularization=regularization, alpha=alpha)
    expected = [by_definition(vectors, row, regularization, alpha) for row in matrix.toarray()]
    np.testing.assert_allclose(solver.solve(matrix, np.float64), expected, rtol=1e-8, atol=1e-8)


def test_every_step_away_from_the_solution_costs():
    vectors, matrix = item_vectors(8), histories()
    solution = UserSolver(vectors, regularization=2.0, alpha=3.0).solve(matrix, np.float64)
    rng = np.random.default_rng(1)

    def objective(x, row):
        c, p = confidence_and_preference(row, 3.0)
        return (c * (p - vectors @ x) ** 2).sum() + 2.0 * x @ x

    for x, row in zip(solution, matrix.toarray(), strict=True):
        best = objective(x, row)
        assert all(objective(x + 1e-3 * rng.standard_normal(8), row) > best for _ in range(20))


def test_agrees_with_the_solver_of_implicit():
    vectors, matrix, alpha = item_vectors(64).astype(float), histories(), 20.0
    ours = UserSolver(vectors, regularization=10.0, alpha=alpha).solve(matrix, np.float64)
    signed = csr_matrix(matrix.astype(float))
    signed.eliminate_zeros()  # implicit reads an explicit zero as a confidence of 0, not of 1
    signed.data = np.sign(signed.data) * (1 + alpha * np.abs(signed.data))
    gram = vectors.T @ vectors
    theirs = [user_factor(vectors, gram, signed, u, 10.0, 64) for u in range(len(LENGTHS))]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_factors", [4, 64])
@pytest.mark.parametrize("alpha", [0.5, 20.0])
@pytest.mark.parametrize("regularization", [1.0, GROWING])
def test_leave_one_out_agrees_with_solving_again(n_factors, alpha, regularization):
    matrix = histories()
    solver = UserSolver(item_vectors(n_factors), regularization=regularization, alpha=alpha)
    left_out = solver.leave_one_out(matrix, np.float64)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    shorter = matrix.toarray()[rows]
    shorter[np.arange(matrix.nnz), matrix.indices] = 0
    again = solver.solve(csr_array(shorter), np.float64)
    assert np.abs(again - solver.solve(matrix, np.float64)[rows]).max() > 0.01
    np.testing.assert_allclose(left_out, again, rtol=1e-8, atol=1e-10)


def test_bits_depend_on_the_own_history_alone(monkeypatch):
    rng = np.random.default_rng(3)
    matrix = histories(lengths=rng.integers(0, 60, 150).tolist())
    vectors = item_vectors(40)
    solver = UserSolver(vectors, regularization=10.0, alpha=20.0, n_threads=1)
    solved, left_out = solver.solve(matrix), solver.leave_one_out(matrix)

    order = rng.permutation(150)
    alone = [solver.solve(matrix[[u]]) for u in range(150)]
    np.testing.assert_array_equal(solver.solve(matrix[order]), solved[order])
    np.testing.assert_array_equal(np.concatenate(alone), solved)
    one_by_one = [solver.leave_one_out(matrix[[u]]) for u in range(150)]
    np.testing.assert_array_equal(np.concatenate(one_by_one), left_out)

    monkeypatch.setattr(solve, "_BATCH_BYTES", 100_000)
    threaded = UserSolver(vectors, regularization=10.0, alpha=20.0, n_threads=4)
    np.testing.assert_array_equal(threaded.solve(matrix), solved)
    np.testing.assert_array_equal(threaded.leave_one_out(matrix), left_out)


def test_nothing_known_nothing_preferred():
    matrix = csr_array((3, 120), dtype=np.float32)
    solver = UserSolver(item_vectors(8), regularization=1.0, alpha=1.0)
    assert not solver.solve(matrix).any()
    assert solver.leave_one_out(matrix).shape == (0, 8)


def test_a_giant_costs_memory_in_proportion_to_the_history():
    """The padding doubles it at most, and nothing is as large as its square."""
    n_pairs, n_factors = (1 << 15) + 1, 8
    matrix = histories(lengths=[5, n_pairs], n_items=40_000)
    solver = UserSolver(item_vectors(n_factors, 40_000), regularization=1.0, alpha=1.0, n_threads=1)
    padded = 8 * n_factors * 2 * (n_pairs - 1)
    for solution in (solver.solve, solver.leave_one_out):
        tracemalloc.start()
        solution(matrix)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert padded < peak < 10 * padded


def test_evidence_beyond_any_solution_is_refused():
    vectors = item_vectors(6)
    solver = UserSolver(vectors, regularization=1.0, alpha=1.0)
    for value, solution in ((1e12, solver.leave_one_out), (1e30, solver.solve)):
        matrix = histories(lengths=[3, 4, 7, 30])
        matrix.data[8] = value  # of the third
        with pytest.raises(InputError, match=r"history 2: its vector .*a pair is 1e\+[13][20] bes"):
            solution(matrix)
    vectors[7, 2] = np.nan
    with pytest.raises(InputError, match="item vector 7 is not finite"):
        UserSolver(vectors, regularization=1.0, alpha=1.0)
