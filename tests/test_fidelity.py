"""Figures of fidelity against their definitions, and on sets whose relation is planted."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.evaluation.fidelity import (
    density_and_coverage,
    diversity,
    frechet_distance,
    kernel_distance,
    memorization,
    nearest_distances,
)


def drawn(n: int, d: int = 6, *, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(d, d))
    return (0.3 * rng.normal(size=(n, d)) @ mix + shift).astype(np.float32)


# Kernel distance


def test_the_kernel_distance_is_its_definition() -> None:
    real, made = drawn(40, seed=0), drawn(30, seed=1, shift=0.4)
    kernels = {
        name: polynomial_kernel(a.astype(np.float64), b.astype(np.float64), degree=3, coef0=1)
        for name, a, b in (("rr", real, real), ("mm", made, made), ("rm", real, made))
    }
    within = [
        np.mean([k[i, j] for i, j in itertools.permutations(range(len(k)), 2)])
        for k in (kernels["rr"], kernels["mm"])
    ]
    expected = 1000 * (sum(within) - 2 * kernels["rm"].mean())
    assert kernel_distance(real, made, n_boot=1).value == pytest.approx(expected, rel=1e-8)


def test_two_sets_of_one_kind_have_distance_zero_on_average() -> None:
    found = [
        kernel_distance(drawn(60, seed=s), drawn(60, seed=1000 + s), n_boot=200) for s in range(60)
    ]
    values = np.array([one.value for one in found])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert (values < 0).mean() > 0.2  # unbiased, and so not always above zero
    inside = np.mean([one.low <= 0 <= one.high for one in found])
    assert inside > 0.85


def test_the_further_apart_the_larger() -> None:
    real = drawn(300, seed=0)
    found = [kernel_distance(real, drawn(300, seed=1, shift=s)) for s in (0.0, 0.4, 0.8)]
    assert found[0].high < found[1].low < found[1].high < found[2].low


def test_resampling_centres_on_the_value() -> None:
    """Pairs of a picture with its own copy are left out, or every resample would be too far."""
    one = kernel_distance(drawn(200, seed=0), drawn(200, seed=1, shift=0.5), n_boot=2000)
    assert (one.low + one.high) / 2 == pytest.approx(one.value, rel=0.1)
    assert one.n == 200


def test_the_same_seed_gives_the_same_interval() -> None:
    real, made = drawn(50, seed=0), drawn(50, seed=1)
    assert kernel_distance(real, made, seed=3) == kernel_distance(real, made, seed=3)
    assert kernel_distance(real, made, seed=3) != kernel_distance(real, made, seed=4)


@pytest.mark.parametrize("wrong", [{"n_boot": 0}, {"level": 1.0}, {"level": 0.0}])
def test_resampling_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected n_boot ≥ 1, 0 < level < 1"):
        kernel_distance(drawn(9, seed=0), drawn(9, seed=1), **wrong)


# Fréchet distance


def test_the_frechet_distance_is_its_definition() -> None:
    one, other = drawn(80, seed=0).astype(np.float64), drawn(80, seed=1, shift=0.7) * 1.3
    c1, c2 = np.cov(one.T), np.cov(other.T)
    apart = one.mean(axis=0) - other.mean(axis=0)
    expected = apart @ apart + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(other, one) == pytest.approx(expected, rel=1e-6)


def test_fewer_pictures_than_features_are_no_problem() -> None:
    one = drawn(20, d=50, seed=0)
    assert frechet_distance(one, one[::-1]) == pytest.approx(0, abs=1e-3)
    assert frechet_distance(one, one + np.float32(2)) == pytest.approx(4 * 50, rel=1e-4)


def test_frechet_distances_of_unequal_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="of 30 and 20 pictures says nothing"):
        frechet_distance(drawn(30, seed=0), drawn(20, seed=1))


# Density and coverage


def test_density_and_coverage_are_their_definitions() -> None:
    real, made, k = drawn(50, seed=0), drawn(40, seed=1, shift=0.3), 5
    nearest = NearestNeighbors(n_neighbors=k + 1).fit(real)
    radius = nearest.kneighbors(real)[0][:, k]
    inside = np.linalg.norm(real[:, None] - made[None], axis=2) < radius[:, None]
    found = density_and_coverage(real, made, k=k)
    assert found.density == pytest.approx(inside.sum() / (k * len(made)))
    assert found.coverage == pytest.approx(inside.any(axis=1).mean())


def test_one_picture_repeated_covers_little_however_real_it_is() -> None:
    real = drawn(200, seed=0)
    same_kind = density_and_coverage(real, drawn(200, seed=1))
    assert same_kind.coverage > 0.9
    assert same_kind.density == pytest.approx(1, abs=0.2)
    repeated = density_and_coverage(real, np.repeat(real[:1], 200, axis=0))
    assert repeated.coverage < 0.1


@pytest.mark.parametrize("k", [0, 9])
def test_neighbours_out_of_range_are_refused(k: int) -> None:
    with pytest.raises(InputError, match=rf"k = {k}: expected 1 to 8"):
        density_and_coverage(drawn(9, seed=0), drawn(9, seed=1), k=k)


# Memorization


def test_nearest_distances_are_those_of_a_search() -> None:
    training, pictures = drawn(60, seed=0), drawn(1100, seed=1)
    expected = NearestNeighbors(n_neighbors=1).fit(training).kneighbors(pictures)[0][:, 0]
    np.testing.assert_allclose(nearest_distances(training, pictures), expected, rtol=1e-5)


def test_copies_are_found_and_new_pictures_are_not_suspected() -> None:
    training, held_out = drawn(400, seed=0), drawn(200, seed=1)
    honest = memorization(training, held_out, drawn(300, seed=2))
    assert honest.p_value > 0.01
    assert honest.share_nearer == pytest.approx(0.5, abs=0.08)
    copies = training[:300] + np.float32(1e-3)
    caught = memorization(training, held_out, copies)
    assert caught.p_value < 1e-6
    assert caught.share_nearer > 0.99
    assert caught.made < caught.held_out / 10


# Diversity


def test_diversity_is_its_definition() -> None:
    rows = drawn(12, seed=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    users = np.array(["a", "b", "c", "a"] * 3)
    distance = 1 - rows.astype(np.float64) @ rows.T
    pairs = list(itertools.permutations(range(12), 2))
    found = diversity(users, rows)
    within = [
        np.mean([distance[i, j] for i, j in pairs if users[i] == users[j] == one]) for one in "abc"
    ]
    assert found.within == pytest.approx(np.mean(within), rel=1e-6)
    between = [distance[i, j] for i, j in pairs if users[i] != users[j]]
    assert found.between == pytest.approx(np.mean(between), rel=1e-6)


def test_one_picture_per_user_has_no_diversity_within() -> None:
    rows = np.eye(3, dtype=np.float32)
    found = diversity([1, 2, 3], rows)
    assert np.isnan(found.within)
    assert found.between == 1
    with pytest.raises(InputError, match="2 user ids for 3 pictures"):
        diversity([1, 2], rows)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (drawn(9, d=5, seed=1), r"shapes \(9, 6\) and \(9, 5\).*same judge"),
        (drawn(1, seed=1), "got 9 and 1 pictures"),
        (np.full((9, 6), np.nan, np.float32), "features of 9 of 9 pictures of the second set"),
    ],
)
def test_sets_that_do_not_fit_are_refused(other: np.ndarray, message: str) -> None:
    for compare in (kernel_distance, frechet_distance, density_and_coverage, nearest_distances):
        with pytest.raises(InputError, match=message):
            compare(drawn(9, seed=0), other)
