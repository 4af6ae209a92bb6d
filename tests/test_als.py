"""The factorization: its objective, its determinism, and what each kind of evidence does."""

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_array, csr_matrix
from tastes import lambdas, objective
from threadpoolctl import threadpool_limits

from prodgen_rec.errors import ConfigError, InputError, TrainingDivergedError
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS


def world(dense):
    dense = np.asarray(dense, np.float32)
    n_users, n_items = dense.shape
    return Interactions(IdMap.of(range(n_users)), IdMap.of(range(n_items)), csr_array(dense))


def clustered(seed=0, n_users=120, n_items=60):
    """Three groups of users, each with its own third of the items; some returns."""
    rng = np.random.default_rng(seed)
    same = np.arange(n_users)[:, None] % 3 == np.arange(n_items) % 3
    touched = rng.random((n_users, n_items)) < np.where(same, 0.4, 0.02)
    return world(touched * rng.choice([1.0, 2.0, 5.0, -1.0], (n_users, n_items)))


def unequal():
    """Some users of one pair, and some of many."""
    kept = np.random.default_rng(7).random((120, 60)) < np.linspace(0.02, 1, 120)[:, None]
    return world(clustered().matrix.toarray() * kept)


@pytest.mark.parametrize("alpha", [0.3, 5.0])
@pytest.mark.parametrize("scaling", [0.0, 0.5, 1.0])
def test_reaches_a_minimum_of_its_objective(alpha, scaling):
    """The objective in the docstring is the one minimized: no small step makes it less."""
    interactions = unequal()
    dense = interactions.matrix.toarray()
    model = ALS(3, 3.0, alpha, iterations=200, frequency_scaling=scaling).fit(interactions)
    users, items = model.user_vectors_.astype(float), model.item_vectors_.astype(float)
    reached = objective(dense, users, items, 3.0, alpha, scaling)
    rng = np.random.default_rng(1)
    for size in (1e-1, 1e-2):
        for _ in range(20):
            step = size * rng.standard_normal(users.shape), size * rng.standard_normal(items.shape)
            assert objective(dense, users + step[0], items + step[1], 3.0, alpha, scaling) > reached
    for vectors, others, r in ((users, items, dense), (items, users, dense.T)):
        exact = [
            np.linalg.solve(
                others.T @ ((1 + alpha * np.abs(row))[:, None] * others) + one * np.eye(3),
                others.T @ ((1 + alpha * np.abs(row)) * (row > 0)),
            )
            for row, one in zip(r, lambdas(r, r, 3.0, scaling), strict=True)
        ]
        np.testing.assert_allclose(vectors, exact, rtol=1e-3, atol=1e-3)


def test_without_scaling_it_is_the_fit_of_implicit():
    interactions = clustered()
    signed = csr_matrix(interactions.matrix)
    signed.data = np.sign(signed.data) * (1 + 5 * np.abs(signed.data))
    theirs = AlternatingLeastSquares(8, 2.0, alpha=1.0, iterations=4, random_state=3)
    with threadpool_limits(1, user_api="blas"):
        theirs.fit(signed, show_progress=False)
    ours = ALS(8, 2.0, 5.0, iterations=4, seed=3, frequency_scaling=0.0).fit(interactions)
    np.testing.assert_array_equal(ours.item_vectors_, theirs.item_factors)


def test_same_bits_at_any_number_of_threads():
    interactions = clustered(n_users=400, n_items=150)
    with threadpool_limits(1, user_api="openmp"):
        one = ALS(16, iterations=5).fit(interactions)
    many = ALS(16, iterations=5).fit(interactions)
    np.testing.assert_array_equal(one.item_vectors_, many.item_vectors_)
    np.testing.assert_array_equal(one.user_vectors_, many.user_vectors_)
    other = ALS(16, iterations=5, seed=1).fit(interactions)
    assert not np.array_equal(one.item_vectors_, other.item_vectors_)


def test_evidence_moves_the_score_the_right_way():
    interactions = clustered()
    model = ALS(8, 1.0, 5.0).fit(interactions)
    row = interactions.matrix[[0]].toarray()[0]
    untouched = next(i for i in range(60) if row[i] == 0 and i % 3 != 0)  # not to this user's taste
    scores = {}
    for value in (-3.0, 0.0, 1.0, 5.0):
        history = interactions.matrix[[0]].toarray()
        history[0, untouched] = value
        vector = model.fold_in(
            Interactions(IdMap.of(["x"]), interactions.items, csr_array(history))
        )
        scores[value] = float(vector[0] @ model.item_vectors_[untouched])
    assert scores[-3.0] < scores[0.0] < scores[1.0] < scores[5.0]


def test_a_pair_of_no_net_evidence_weighs_nothing():
    with_zero = clustered()
    matrix = with_zero.matrix.copy()
    matrix.data[::7] = 0.0
    without = matrix.copy()
    without.eliminate_zeros()
    assert without.nnz < matrix.nnz
    fits = [
        ALS(8, 1.0, 5.0).fit(Interactions(with_zero.users, with_zero.items, m))
        for m in (matrix, without)
    ]
    np.testing.assert_array_equal(fits[0].item_vectors_, fits[1].item_vectors_)
    np.testing.assert_allclose(fits[0].user_vectors_, fits[1].user_vectors_, atol=1e-6)


def test_nobody_likes_it_so_its_vector_is_zero():
    dense = clustered().matrix.toarray()
    dense[:, 3] = 0
    dense[:, 4] = -np.abs(dense[:, 4])
    model = ALS(8, 1.0, 5.0).fit(world(dense))
    assert not model.item_vectors_[[3, 4]].any()
    assert model.item_vectors_[5].any()


def test_divergence_is_an_error_that_says_what_to_do():
    interactions = clustered()
    interactions.matrix.data *= np.float32(1e36)
    with pytest.raises(TrainingDivergedError, match="raise regularization, or lower alpha"):
        ALS(4, alpha=20.0).fit(interactions)


def test_leave_one_out_is_folding_in_without_the_pair():
    interactions = clustered()
    model = ALS(8, 1.0, 5.0).fit(interactions)
    left_out = model.leave_one_out(interactions)
    assert left_out.dtype == np.float32
    assert left_out.shape == (interactions.n_pairs, 8)
    for pair in range(0, interactions.n_pairs, 97):
        user = int(np.searchsorted(interactions.matrix.indptr, pair, side="right")) - 1
        history = interactions.matrix[[user]].toarray()
        history[0, interactions.matrix.indices[pair]] = 0
        fresh = model.fold_in(Interactions(IdMap.of(["x"]), interactions.items, csr_array(history)))
        np.testing.assert_allclose(left_out[pair], fresh[0], rtol=1e-5, atol=1e-6)


def test_leave_one_out_refuses_other_items():
    interactions = clustered()
    model = ALS(4, iterations=1).fit(interactions)
    fewer = interactions.for_items(IdMap.of(range(50)))
    with pytest.raises(InputError, match=r"pass history\.for_items\(model\.items_\)"):
        model.leave_one_out(fewer)
    assert model.leave_one_out(fewer.for_items(model.items_)).shape == (fewer.n_pairs, 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("factors", 0),
        ("factors", 8.5),
        ("iterations", 0),
        ("seed", -1),
        ("alpha", -0.5),
        ("alpha", float("nan")),
        ("alpha", float("inf")),
        ("regularization", 0.0),
        ("regularization", float("nan")),
        ("frequency_scaling", -0.1),
        ("frequency_scaling", 1.5),
        ("frequency_scaling", float("nan")),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} = {value}: expected"):
        ALS(**{name: value})


def test_confidence_fits_the_data_unless_it_is_given():
    """A typical pair counts 0.45 / √density, in whatever units the evidence is."""
    interactions = clustered()
    liked = interactions.matrix.toarray()
    model = ALS(4).fit(interactions)
    typical = model.alpha_ * liked[liked > 0].mean()
    assert typical == pytest.approx(0.45 / np.sqrt((liked > 0).mean()), rel=1e-6)
    larger = ALS(4).fit(world(7 * liked))
    np.testing.assert_allclose(larger.item_vectors_, model.item_vectors_, rtol=1e-3, atol=1e-5)
    assert ALS(4, alpha=2.5).fit(interactions).alpha_ == 2.5


def test_what_was_fitted_to_the_data_is_kept_on_disk(tmp_path):
    model = ALS(4).fit(unequal())
    model.save(tmp_path / "model")
    again = ALS.load(tmp_path / "model")
    assert again.alpha_ == model.alpha_
    np.testing.assert_array_equal(again.typical_pairs_, model.typical_pairs_)
    np.testing.assert_array_equal(again.fold_in(unequal()), model.user_vectors_)
