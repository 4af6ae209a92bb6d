"""Conditional priors p(z | c): how a preference becomes a latent.

Both priors turn the same noise into latents and know a guidance scale: 0 ignores the
condition, 1 follows it, more than 1 exaggerates it (classifier-free guidance, Ho &
Salimans 2022).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.condition import Vectors
from prodgen_rec.imagery.config import ImageryConfig
from prodgen_rec.imagery.networks import (
    build_flow_context,
    build_flow_velocity,
    build_gaussian_prior,
)
from prodgen_rec.imagery.pairs import Pairs
from prodgen_rec.imagery.runtime import batches, by_tiles, compiled, dtype_policy, seeded
from prodgen_rec.imagery.training import Phase, Player, Trainer

Floats = npt.NDArray[np.float32]


class PriorNetwork(ABC):
    """Networks and the two things one does with them.

    Latents here are standardized: zero mean and unit variance per dimension over the
    training pairs.
    """

    networks: dict[str, keras.Model]

    @abstractmethod
    def loss(self, latents: Any, conditions: Any, seed: Any) -> Mapping[str, Any]:
        """Losses of latents (n, latent_size) under conditions (n, d + 1)."""

    @abstractmethod
    def draw(self, noise: Any, conditions: Any, guidance: Any) -> Any:
        """Latents (n, latent_size) from standard normal noise of the same shape."""


@final
class GaussianPrior(PriorNetwork):
    """p(z | c) = N(μ(c), diag σ²(c)), the prior of Sohn, Lee & Yan 2015."""

    def __init__(self, latent_size: int, condition_size: int, width: int) -> None:
        self.network = build_gaussian_prior(latent_size, condition_size, width)
        self.networks = {"prior": self.network}

    def loss(self, latents: Any, conditions: Any, seed: Any) -> Mapping[str, Any]:
        """Negative log likelihood per dimension, up to a constant.

        Its expectation over z ~ q(z | x) is KL(q(z | x) ‖ p(z | c)) plus the entropy of q,
        which the prior cannot change: the prior's part of the evidence bound.
        """
        mean, log_variance = self.moments(conditions)
        squared = tf.square(latents - mean) * tf.exp(-log_variance)
        return {"loss": 0.5 * tf.reduce_mean(squared + log_variance)}

    def draw(self, noise: Any, conditions: Any, guidance: Any) -> Any:
        """Mean plus scaled noise; guidance moves both along their way from no condition.

        The scale stops where the condition puts it: a guidance above 1 exaggerates the mean.
        """
        mean, log_variance = self.moments(conditions)
        free_mean, free_log_variance = self.moments(tf.zeros_like(conditions))
        mean = free_mean + guidance * (mean - free_mean)
        share = tf.minimum(guidance, 1.0)
        log_variance = free_log_variance + share * (log_variance - free_log_variance)
        return mean + tf.exp(log_variance / 2) * noise

    def moments(self, conditions: Any) -> tuple[Any, Any]:
        """Means and log-variances, both (n, latent_size)."""
        mean, log_variance = tf.split(self.network(conditions), 2, axis=-1)
        return mean, tf.clip_by_value(log_variance, -10.0, 4.0)


@final
class FlowPrior(PriorNetwork):
    """Rectified flow from noise to latents (Liu, Gong & Liu 2023)."""

    def __init__(
        self, latent_size: int, condition_size: int, width: int, depth: int, n_steps: int
    ) -> None:
        self.context = build_flow_context(condition_size, width, depth)
        self.velocity = build_flow_velocity(latent_size, width, depth)
        self.networks = {"prior_context": self.context, "prior_velocity": self.velocity}
        self.n_steps = n_steps

    def loss(self, latents: Any, conditions: Any, seed: Any) -> Mapping[str, Any]:
        """Mean squared error of the velocity z − ε on the line from ε to z.

        Times are logit-normal, since the middle of the way is the hardest (Esser et al.
        2024, section 3.1).
        """
        noise = tf.random.stateless_normal(tf.shape(latents), seed)
        time = tf.sigmoid(tf.random.stateless_normal((tf.shape(latents)[0], 1), seed + 1))
        position = (1 - time) * noise + time * latents
        velocity = self.velocity([position, time, self.context(conditions)])
        return {"loss": tf.reduce_mean(tf.square(velocity - (latents - noise)))}

    def draw(self, noise: Any, conditions: Any, guidance: Any) -> Any:
        """Euler steps of equal length along the guided velocity."""
        z, context = noise, self.context(conditions)
        without = self.context(tf.zeros_like(conditions))
        # A function of its own is traced once, not twice a step: seconds less before the
        # first picture.
        velocity = compiled(lambda z, time, context: self.velocity([z, time, context]))
        for k in range(self.n_steps):
            time = tf.fill((tf.shape(z)[0], 1), k / self.n_steps)
            unguided = velocity(z, time, without)
            guided = velocity(z, time, context)
            z += (unguided + guidance * (guided - unguided)) / self.n_steps
        return z


class ConditionalPrior:
    """A prior network with the scales of what goes in and what comes out.

    Parameters
    ----------
    config
        Settings.
    condition_size
        Numbers in a condition.
    seed
        Seed of the initial weights and of the batches.
    """

    def __init__(self, config: ImageryConfig, condition_size: int, *, seed: int) -> None:
        self.config = config
        self.seed = seed
        with dtype_policy("float32"), seeded(seed):
            self.prior = _network(config, condition_size)
        self.latent_mean = np.zeros(config.latent_size, np.float32)
        self.latent_scale = np.ones(config.latent_size, np.float32)
        self._draw = compiled(self.prior.draw)

    def fit(
        self, moments: Floats, conditions: Vectors, pairs: Pairs, trainer: Trainer, budget: Budget
    ) -> pd.DataFrame:
        """Train on the latents of the photos in the pairs and return the log.

        Parameters
        ----------
        moments
            float32 (n_photos, 2 · latent_size), means and log-variances of q(z | x).
        conditions
            float32 (n_vectors, condition_size), of the vectors of the pairs.
        pairs
            Rows of ``conditions`` and ``moments`` that belong together.
        """
        self._fit_scales(moments, pairs)

        def loss(batch: Any, seed: Any) -> Mapping[str, Any]:
            mean, log_variance = tf.split(batch[0], 2, axis=-1)
            z = mean + tf.exp(log_variance / 2) * tf.random.stateless_normal(tf.shape(mean), seed)
            standardized = (z - self.latent_mean) / self.latent_scale
            kept = tf.random.stateless_uniform((tf.shape(z)[0], 1), seed + 1)
            kept = tf.cast(kept >= self.config.condition_dropout, tf.float32)
            return self.prior.loss(standardized, batch[1] * kept, seed + 2)

        def rows(index: npt.NDArray[np.int64]) -> tuple[Floats, Vectors]:
            return moments[pairs.photo_rows[index]], conditions[pairs.vector_rows[index]]

        phase = Phase(
            "prior",
            {
                "loss": Player(
                    [v for one in self.prior.networks.values() for v in one.trainable_variables]
                )
            },
            loss,
            lambda step: batches(
                rows,
                pairs.weights,
                self.config.prior_batch_size,
                seed=self.seed,
                first_step=step,
            ),
        )
        return trainer.run(phase, budget)

    def sample(self, conditions: Vectors, noise: Floats, guidance: float) -> Floats:
        """Latents float32 (n, latent_size) of conditions (n, condition_size) and noise."""
        scale = tf.constant(guidance, tf.float32)

        def draw(conditions: Vectors, noise: Floats) -> Floats:
            latents = self._draw(noise, conditions, scale)
            return np.asarray(latents) * self.latent_scale + self.latent_mean

        return by_tiles(draw, conditions, noise)

    def _fit_scales(self, moments: Floats, pairs: Pairs) -> None:
        means, log_variances = np.split(moments, 2, axis=1)
        weight = np.bincount(pairs.photo_rows, pairs.weights, minlength=len(moments))
        share = weight / weight.sum()
        mean = share @ means
        variance = share @ (np.square(means - mean) + np.exp(log_variances))
        self.latent_mean = mean.astype(np.float32)
        self.latent_scale = np.sqrt(variance).astype(np.float32)


def _network(config: ImageryConfig, condition_size: int) -> PriorNetwork:
    shape = (config.latent_size, condition_size, config.prior_width)
    if config.prior == "gaussian":
        return GaussianPrior(*shape)
    return FlowPrior(*shape, config.prior_depth, config.flow_steps)
