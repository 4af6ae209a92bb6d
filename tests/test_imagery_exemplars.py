from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from prodgen_rec.errors import InputError
from prodgen_rec.ids import IdMap
from prodgen_rec.imagery.exemplars import Exemplars, representatives
from prodgen_rec.imagery.priors import Begin, FlowPrior

N_USERS, LATENT = 20_000, 8


def _exemplars(vectors: np.ndarray, weights: np.ndarray | None = None) -> Exemplars:
    n = len(vectors)
    latents = np.random.default_rng(0).normal(size=(n, LATENT)).astype(np.float32)
    weights = np.ones(n) if weights is None else weights
    ids = IdMap(pa.array(np.arange(n)))
    return Exemplars(ids, vectors.astype(np.float32), latents, weights, 2.0, 1.5)


def _drawn(
    exemplars: Exemplars, preference: list[float], n: int = 1, guidance: float = 1.0
) -> np.ndarray:
    users = pa.array(np.arange(N_USERS))
    preferences = np.tile(np.float32(preference), (N_USERS, 1))
    nothing = csr_array((N_USERS, len(exemplars.items)))
    return exemplars.draw(users, preferences, nothing, n, seed=0, guidance=guidance)


def _shares(drawn: np.ndarray, n_items: int) -> np.ndarray:
    return np.bincount(drawn.ravel(), minlength=n_items) / drawn.size


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_items_are_drawn_in_proportion_to_the_exponential_of_their_scores(guidance: float) -> None:
    scores = np.array([0.3, -0.1, 0.9, 0.4, 0.35])
    expected = np.exp(2.0 * guidance * scores / scores.std())
    shares = _shares(_drawn(_exemplars(scores[:, None]), [1.0], guidance=guidance), 5)
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.015)


def test_without_guidance_or_preference_items_are_drawn_by_their_weights() -> None:
    weights = np.array([1.0, 0.0, 5.0, 2.0, 2.0])
    exemplars = _exemplars(np.arange(5.0)[:, None], weights)
    for preference, guidance in (([0.0], 3.0), ([1.0], 0.0)):
        shares = _shares(_drawn(exemplars, preference, guidance=guidance), 5)
        np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.015)


def test_between_none_and_full_guidance_the_two_are_mixed() -> None:
    exemplars = _exemplars(np.arange(5.0)[:, None], np.array([1.0, 0, 0, 0, 0]))
    full = _shares(_drawn(exemplars, [1.0]), 5)
    half = _shares(_drawn(exemplars, [1.0], guidance=0.5), 5)
    np.testing.assert_allclose(half, full / 2 + [0.5, 0, 0, 0, 0], atol=0.015)


def test_no_item_is_drawn_twice_while_another_is_left() -> None:
    drawn = _drawn(_exemplars(np.random.default_rng(1).normal(size=(6, 1))), [1.0], n=6)
    assert (np.sort(drawn, axis=1) == np.arange(6)).all()
    drawn = _drawn(_exemplars(np.ones((2, 1))), [1.0], n=5)
    assert (np.sort(drawn[:, :2], axis=1) == [0, 1]).all()


@given(st.permutations(range(7)), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_a_draw_depends_on_its_user_alone(order: list[int], n: int) -> None:
    rng = np.random.default_rng(2)
    exemplars = _exemplars(rng.normal(size=(90, 4)))
    ids, preferences = pa.array(list("abcdefg")), rng.normal(size=(7, 4)).astype(np.float32)
    preferences[3] = 0
    taken = csr_array(rng.random((7, 90)) < 0.05, dtype=np.float32)
    everyone = exemplars.draw(ids, preferences, taken, 9, seed=3, guidance=0.7)
    some = exemplars.draw(
        ids.take(pa.array(order)), preferences[order], taken[order], n, seed=3, guidance=0.7
    )
    np.testing.assert_array_equal(some, everyone[order, :n])
    other = exemplars.draw(ids, preferences, taken, 9, seed=4, guidance=0.7)
    assert (other != everyone).any()


def test_what_a_user_took_is_drawn_more_often_than_the_best_item_whatever_its_score() -> None:
    scores = np.array([0.3, -0.1, 0.9, 0.4, 0.35])
    users = np.arange(N_USERS)
    places = (np.repeat(users, 2), np.tile([0, 1], N_USERS))
    taken = csr_array((np.ones(2 * N_USERS), places), (N_USERS, 5))
    drawn = _exemplars(scores[:, None]).draw(
        pa.array(users), np.ones((N_USERS, 1), np.float32), taken, 1, seed=0, guidance=1.0
    )
    standardized = (scores - scores.max()) / scores.std()
    standardized[:2] = 1.5
    expected = np.exp(2.0 * standardized)
    np.testing.assert_allclose(_shares(drawn, 5), expected / expected.sum(), atol=0.015)


def test_what_a_user_took_is_drawn_even_if_64_others_are_better() -> None:
    scores = np.append(np.arange(1.0, 101.0), 0.0)
    taken = csr_array((np.ones(N_USERS), (np.arange(N_USERS), np.full(N_USERS, 100))))
    preferences = np.ones((N_USERS, 1), np.float32)
    drawn = _exemplars(scores[:, None]).draw(
        pa.array(np.arange(N_USERS)), preferences, taken, 2, seed=0, guidance=1.0
    )
    assert (drawn == 100).any(axis=1).mean() > 0.5
    assert (drawn != 100).any(axis=1).all()
    assert (drawn >= 36).all()


def test_of_what_a_user_took_representatives_come_first() -> None:
    exemplars = _exemplars(np.arange(7.0)[:, None])
    kinds = np.repeat(np.eye(LATENT)[:3], [3, 2, 1], axis=0)  # three dresses, two shirts, a hat
    exemplars.latents[:6] = 10 * kinds + 0.1 * exemplars.latents[:6]
    taken = csr_array(np.tile([1.0] * 6 + [0], (200, 1)))
    drawn = exemplars.draw(
        pa.array(np.arange(200)), np.ones((200, 1), np.float32), taken, 3, seed=0, guidance=50.0
    )
    assert (drawn == drawn[0]).all()
    assert [{0: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 2}[item] for item in drawn[0]] == [0, 1, 2]


@given(st.integers(1, 6), st.integers(0, 2**32))
def test_the_next_representative_raises_likeness_to_the_nearest_most(n: int, seed: int) -> None:
    directions = np.random.default_rng(seed).normal(size=(6, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    weights = np.arange(1.0, 7.0, dtype=np.float32)
    picks = representatives(directions, weights, n)
    assert len(set(picks)) == n
    likeness = directions.astype(float) @ directions.T
    for k, pick in enumerate(picks):
        covered = [
            np.append(likeness[picks[:k]], likeness[[other]], axis=0).max(axis=0) @ weights
            for other in range(6)
        ]
        left = [other for other in range(6) if other not in picks[:k]]
        assert covered[pick] >= max(covered[other] for other in left) - 1e-5


def test_exemplars_that_nobody_took_are_refused() -> None:
    with pytest.raises(InputError, match="2 items with a total weight of 0"):
        _exemplars(np.ones((2, 1)), np.zeros(2))


@pytest.mark.parametrize("likeness", [0.0, 0.3, 1.0])
def test_a_flow_goes_the_rest_of_the_way_from_between_noise_and_exemplar(likeness: float) -> None:
    prior = FlowPrior(LATENT, 3, 16, 2, n_steps=4)
    weights = prior.velocity.get_weights()
    weights[-1] = np.arange(LATENT, dtype=np.float32)  # the last bias; its kernel starts at zero
    prior.velocity.set_weights(weights)
    noise, photo = np.random.default_rng(0).normal(size=(2, 5, LATENT)).astype(np.float32)
    begin = Begin(tf.constant(noise), tf.constant(photo), tf.constant(likeness))
    expected = (1 - likeness) * (noise + np.arange(LATENT)) + likeness * photo
    np.testing.assert_allclose(prior.draw(begin, tf.zeros((5, 3))), expected, atol=1e-5)
