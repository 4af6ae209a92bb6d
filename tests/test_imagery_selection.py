from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodgen_rec.errors import InputError
from prodgen_rec.imagery.selection import choose
from prodgen_rec.imagery.taste import TasteReader


def drawn(n_users: int, n_candidates: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(n_users, n_candidates, 5)).astype(np.float32)
    return rng.normal(size=(n_users, n_candidates)), latents


def test_without_diversity_the_best_scores_win_in_order() -> None:
    scores, latents = drawn(7, 12)
    picks = choose(scores, latents, 4, diversity=0)
    assert np.array_equal(picks, np.argsort(-scores, axis=1)[:, :4])


def test_with_full_diversity_a_copy_comes_last() -> None:
    scores, latents = drawn(1, 4)
    latents[0] = np.eye(4, 5)
    latents[0, 3] = 7 * latents[0, 1]  # the same direction
    scores[0] = [1, 2, 0, 3]
    assert choose(scores, latents, 4, diversity=1.0)[0].tolist()[-1] in (1, 3)
    assert set(choose(scores, latents, 3, diversity=1.0)[0]) != {0, 1, 3}
    assert set(choose(scores, latents, 2, diversity=0.0)[0]) == {1, 3}


def test_more_diversity_makes_pictures_less_alike() -> None:
    scores, latents = drawn(200, 16)
    unit = latents / np.linalg.norm(latents, axis=2, keepdims=True)

    def likeness(diversity: float) -> float:
        picks = choose(scores, latents, 4, diversity=diversity)
        chosen = np.take_along_axis(unit, picks[..., None], axis=1)
        return float((chosen @ chosen.transpose(0, 2, 1)).mean())

    assert likeness(0) > likeness(0.5) > likeness(1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.integers(0, 99))
def test_picks_are_distinct_and_a_matter_of_the_own_rows(
    n_users: int, n_candidates: int, diversity: float, seed: int
) -> None:
    scores, latents = drawn(n_users, n_candidates, seed)
    n = 1 + seed % n_candidates
    picks = choose(scores, latents, n, diversity=diversity)
    assert all(len(set(row)) == n for row in picks.tolist())
    assert ((picks >= 0) & (picks < n_candidates)).all()
    for user in range(n_users):
        alone = choose(scores[user : user + 1], latents[user : user + 1], n, diversity=diversity)
        assert np.array_equal(alone[0], picks[user])


def test_equal_candidates_are_taken_in_their_order() -> None:
    picks = choose(np.ones((1, 5)), np.ones((1, 5, 3), np.float32), 3, diversity=0.3)
    assert picks.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(("n", "diversity"), [(0, 0.5), (6, 0.5), (2, -0.1), (2, 1.1)])
def test_out_of_range_is_refused(n: int, diversity: float) -> None:
    with pytest.raises(InputError, match="expected"):
        choose(*drawn(2, 5), n, diversity=diversity)


# Reading a taste


def test_a_linear_taste_is_read_from_latents() -> None:
    rng = np.random.default_rng(0)
    latents = (3 + 2 * rng.normal(size=(600, 8))).astype(np.float32)
    matrix = rng.normal(size=(8, 4))
    vectors = (latents @ matrix + 1 + 0.1 * rng.normal(size=(600, 4))).astype(np.float32)
    reader = TasteReader.fit(latents[:500], vectors[:500])
    error = reader.vectors(latents[500:]) - vectors[500:]
    assert np.abs(error).std() < 0.15
    assert error.std() < 0.12


def test_noise_is_read_as_the_mean_taste() -> None:
    """Where latents say nothing, the chosen penalty keeps the reader from making things up."""
    rng = np.random.default_rng(1)
    latents = rng.normal(size=(300, 40)).astype(np.float32)
    vectors = (2 + rng.normal(size=(300, 3))).astype(np.float32)
    read = TasteReader.fit(latents, vectors).vectors(rng.normal(size=(200, 40)).astype(np.float32))
    assert read.std(axis=0).max() < 0.3
    np.testing.assert_allclose(read.mean(axis=0), 2, atol=0.3)


def test_what_is_read_does_not_depend_on_the_other_rows() -> None:
    rng = np.random.default_rng(2)
    latents = rng.normal(size=(100, 64)).astype(np.float32)
    reader = TasteReader.fit(latents, rng.normal(size=(100, 32)).astype(np.float32))
    assert np.array_equal(reader.vectors(latents)[17:19], reader.vectors(latents[17:19]))
