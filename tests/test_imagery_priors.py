from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from imagery_models import small_config, trained
from scipy import integrate, stats

from prodgen_rec.imagery import Budget, Pairs, Whitening
from prodgen_rec.imagery.autoencoder import kl_to_standard_normal
from prodgen_rec.imagery.priors import Begin, ConditionalPrior, FlowPrior, GaussianPrior
from prodgen_rec.imagery.training import Trainer
from prodgen_rec.testing.images import planted_world, redness

LATENT = 16
N_PAIRS = 4000
N_DRAWS = 2000


class Whitened(NamedTuple):
    """A prior that is asked with vectors."""

    prior: ConditionalPrior
    whitening: Whitening

    def sample(self, vectors: np.ndarray, noise: np.ndarray, guidance: float) -> np.ndarray:
        unsaid = np.empty((len(noise), 0), np.int32)
        return self.prior.sample(self.whitening.conditions(vectors), unsaid, noise, guidance)


def _fitted(
    prior: Any, latents: np.ndarray, pairs: Pairs, n_steps: int, log_variance: float = -20.0
) -> Whitened:
    """A prior of latents that the encoder is as good as certain about."""
    config = small_config(prior, latent_channels=1, condition_dropout=0.2, flow_steps=8)
    moments = np.concatenate([latents, np.full_like(latents, log_variance)], axis=1)
    whitening = Whitening.fit(pairs.vectors, pairs.vector_weights())
    prior = ConditionalPrior(config, whitening.size + 1, (), seed=1)
    prior.fit(
        moments.astype(np.float32),
        whitening.conditions(pairs.vectors),
        np.empty((len(latents), 0), np.int32),
        pairs,
        Trainer(seed=1, progress=False),
        Budget(steps=n_steps),
    )
    return Whitened(prior, whitening)


def _draws(model: Whitened, vector: Any, guidance: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(9).normal(size=(N_DRAWS, LATENT)).astype(np.float32)
    vectors = np.tile(np.asarray(vector, np.float32), (N_DRAWS, 1))
    return model.sample(vectors, noise, guidance).astype(np.float64)


# A linear-Gaussian world: z = b + A v + s ε


@pytest.fixture(scope="module")
def linear_world() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    a, b, s = rng.normal(size=(2, LATENT)), 3 * rng.normal(size=LATENT), 0.5
    vectors = rng.normal(1, 1, size=(N_PAIRS, 2)).astype(np.float32)
    latents = b + vectors @ a + s * rng.normal(size=(N_PAIRS, LATENT))
    pairs = Pairs(vectors, np.arange(N_PAIRS), np.arange(N_PAIRS), np.ones(N_PAIRS))
    model = _fitted("gaussian", latents, pairs, 500)
    return {"a": a, "b": b, "s": s, "latents": latents, "model": model}


@pytest.mark.parametrize("vector", [(1.0, 1.0), (2.0, 0.0), (0.3, 1.9)])
def test_the_gaussian_prior_finds_the_planted_mean_and_variance(
    vector: tuple[float, float], linear_world: dict[str, Any]
) -> None:
    draws = _draws(linear_world["model"], vector)
    mean = linear_world["b"] + np.array(vector) @ linear_world["a"]
    assert np.abs(draws.mean(axis=0) - mean).mean() < 0.15
    assert draws.std(axis=0).mean() == pytest.approx(linear_world["s"], rel=0.15)


def test_without_a_preference_the_gaussian_prior_gives_the_population(
    linear_world: dict[str, Any],
) -> None:
    draws, latents = _draws(linear_world["model"], (0, 0)), linear_world["latents"]
    np.testing.assert_allclose(draws.mean(axis=0), latents.mean(axis=0), atol=0.25)
    np.testing.assert_allclose(draws.std(axis=0), latents.std(axis=0), rtol=0.25)


def test_guidance_moves_the_mean_along_a_line_and_leaves_the_spread(
    linear_world: dict[str, Any],
) -> None:
    vectors = np.tile(np.array([[2.0, 0.5]], np.float32), (2, 1))
    noise = np.stack([np.zeros(LATENT, np.float32), np.ones(LATENT, np.float32)])
    drawn = [linear_world["model"].sample(vectors, noise, guidance) for guidance in range(4)]
    means = np.array([mean for mean, _ in drawn])
    scales = np.array([shifted - mean for mean, shifted in drawn])
    np.testing.assert_allclose(np.diff(means, axis=0), [means[1] - means[0]] * 3, atol=1e-4)
    np.testing.assert_allclose(scales[1:], [scales[1]] * 3, atol=1e-4)
    assert (scales[0] > scales[1]).all()  # what is not known is less certain


def test_the_loss_of_the_gaussian_prior_is_its_log_density() -> None:
    prior = GaussianPrior(LATENT, 3, 64)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(5, LATENT)).astype(np.float32)
    c = rng.normal(size=(5, 3)).astype(np.float32)
    mean, log_variance = np.split(np.asarray(prior.network(c), np.float64), 2, axis=1)
    density = stats.norm.logpdf(z, mean, np.exp(log_variance / 2))
    loss = float(prior.loss(z, c, None)["loss"])
    assert loss == pytest.approx(-density.mean() - 0.5 * np.log(2 * np.pi), rel=1e-5)


# A world of two clusters, chosen by the sign of the preference


@pytest.fixture(scope="module")
def two_clusters() -> tuple[Whitened, np.ndarray]:
    """The first cluster weighs a quarter, by the weights of the pairs."""
    rng = np.random.default_rng(3)
    first = np.arange(N_PAIRS) % 2 == 0
    centre = rng.choice([-2.0, 2.0], LATENT)
    side = np.where(first, 1.0, -1.0)[:, None]
    latents = side * centre + 0.3 * rng.normal(size=(N_PAIRS, LATENT)) + 1.0
    vectors = (side + 0.2 * rng.normal(size=(N_PAIRS, 1))).astype(np.float32)
    pairs = Pairs(vectors, np.arange(N_PAIRS), np.arange(N_PAIRS), np.where(first, 1.0, 3.0))
    return _fitted("flow", latents, pairs, 800), centre


def _sides(draws: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """1 at the first centre, -1 at the second."""
    return (draws - 1.0) @ centre / (centre @ centre)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_flow_goes_to_the_cluster_of_the_preference(
    side: float, two_clusters: tuple[Whitened, np.ndarray]
) -> None:
    model, centre = two_clusters
    draws = _draws(model, [side])
    sides = _sides(draws, centre)
    assert (np.sign(sides) == side).mean() > 0.98
    np.testing.assert_allclose(draws.mean(axis=0), 1 + side * centre, atol=0.3)


def test_without_a_preference_the_flow_gives_the_mixture(
    two_clusters: tuple[Whitened, np.ndarray],
) -> None:
    model, centre = two_clusters
    sides = _sides(_draws(model, [0.0]), centre)
    assert (sides > 0).mean() == pytest.approx(0.25, abs=0.1)
    assert (np.abs(sides) > 0.5).mean() > 0.9  # and not something in between


def test_the_flow_is_exact_where_the_velocity_is_known() -> None:
    """A network that gives a constant velocity moves the noise by it, whatever the steps."""
    prior = FlowPrior(LATENT, 3, 64, 2, n_steps=4)
    weights = prior.velocity.get_weights()
    weights[-1] = np.arange(LATENT, dtype=np.float32)  # the last bias; its kernel starts at zero
    prior.velocity.set_weights(weights)
    noise = np.random.default_rng(0).normal(size=(4, LATENT)).astype(np.float32)
    moved = prior.draw(Begin(tf.constant(noise)), tf.zeros((4, 3)), [(tf.ones((4, 3)), 3.0)])
    np.testing.assert_allclose(moved, noise + np.arange(LATENT), atol=1e-4)


@pytest.mark.parametrize("kind", ["gaussian", "flow"])
def test_guidance_leads_from_condition_to_condition(kind: str) -> None:
    """Strength 0 leaves a condition out, 1 goes all the way, more goes beyond."""
    prior = GaussianPrior(LATENT, 3, 16) if kind == "gaussian" else FlowPrior(LATENT, 3, 16, 2, 4)
    rng = np.random.default_rng(6)
    for network in prior.networks.values():
        network.set_weights([0.1 * rng.normal(size=w.shape) for w in network.get_weights()])
    begin = Begin(tf.constant(rng.normal(size=(4, LATENT)), tf.float32))
    a, b, c = (tf.constant(rng.normal(size=(4, 3)), tf.float32) for _ in range(3))
    plain = [prior.draw(begin, one).numpy() for one in (a, b, c)]

    def drawn(*strengths: float) -> np.ndarray:
        return prior.draw(begin, a, list(zip((b, c), strengths, strict=True))).numpy()

    np.testing.assert_allclose(drawn(0.0, 0.0), plain[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(drawn(1.0, 0.0), plain[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(drawn(1.0, 1.0), plain[2], rtol=1e-4, atol=1e-6)
    way, beyond = plain[1] - plain[0], drawn(3.0, 0.0) - plain[0]
    cosine = (way * beyond).sum() / np.sqrt((way**2).sum() * (beyond**2).sum())
    assert cosine > 0.9
    assert np.abs(beyond).sum() > 2 * np.abs(way).sum()


def test_latents_are_standardized_by_their_weights_and_the_doubt_of_the_encoder() -> None:
    rng = np.random.default_rng(5)
    latents, rows = 2 + 3 * rng.normal(size=(50, LATENT)), rng.integers(0, 50, 200)
    weights = rng.uniform(0.1, 2, 200)
    vectors = rng.normal(size=(200, 2)).astype(np.float32)
    pairs = Pairs(vectors, np.arange(200), rows, weights)
    model = _fitted("gaussian", latents, pairs, 1, log_variance=1.0).prior
    mean = np.average(latents[rows], axis=0, weights=weights)
    variance = np.average((latents[rows] - mean) ** 2, axis=0, weights=weights) + np.e
    np.testing.assert_allclose(model.latent_mean, mean, rtol=1e-4)
    np.testing.assert_allclose(model.latent_scale, np.sqrt(variance), rtol=1e-4)


# The autoencoder


def test_the_divergence_from_a_standard_normal_is_its_integral() -> None:
    rng = np.random.default_rng(0)
    mean, log_variance = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))

    def divergence(mean: float, log_variance: float) -> float:
        q, p = stats.norm(mean, np.exp(log_variance / 2)), stats.norm()
        value, _ = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -30, 30)
        return float(value)

    expected = np.mean(
        [divergence(*pair) for pair in zip(mean.flat, log_variance.flat, strict=True)]
    )
    assert float(kl_to_standard_normal(mean, log_variance)) == pytest.approx(expected, rel=1e-6)


def test_photos_come_back_much_closer_than_the_mean_photo() -> None:
    photos, _ = planted_world()
    model = trained("flow")
    rebuilt = model.decode(model.encode(photos))
    error = np.abs(rebuilt.astype(np.float64) - photos).mean()
    assert error < 0.6 * np.abs(photos - photos.mean(axis=0)).mean()
    assert np.array_equal(redness(rebuilt) > 0, redness(photos) > 0)
