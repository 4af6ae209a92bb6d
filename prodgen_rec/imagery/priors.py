"""The networks of a conditional prior p(z | c), and what one does with them.

Both priors turn the same noise into latents and know guidance: how far to go from one condition
towards another, or beyond it (classifier-free guidance, Ho & Salimans 2022).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from prodgen_rec.imagery.config import ImageryConfig
from prodgen_rec.imagery.networks import (
    build_flow_context,
    build_flow_start,
    build_flow_velocity,
    build_gaussian_prior,
)
from prodgen_rec.imagery.ridge import ridge

Floats = npt.NDArray[np.float32]

Guidance = Sequence[tuple[Any, Any]]
"""Conditions to go to, one after the other, and how far each time."""


class PriorNetwork(ABC):
    """Networks and the two things one does with them.

    Latents here are standardized: zero mean and unit variance per dimension over the
    training pairs.
    """

    networks: dict[str, keras.Model]

    def prepare(  # noqa: B027
        self, latents: Floats, conditions: Floats, weights: npt.NDArray[np.float64]
    ) -> None:
        """Set what has a closed form, before the training.

        Parameters
        ----------
        latents
            float32 (n, latent_size), means of the latents of one preference each.
        conditions
            float32 (n, condition_size), these preferences, with no attribute said.
        weights
            float64 (n,), of the pairs of each.
        """

    @abstractmethod
    def loss(self, latents: Any, conditions: Any, seed: Any) -> Mapping[str, Any]:
        """Losses of latents (n, latent_size) under conditions (n, d + 1)."""

    @abstractmethod
    def draw(self, noise: Any, conditions: Any) -> Any:
        """Latents (n, latent_size) from standard normal noise of the same shape."""

    @abstractmethod
    def draw_guided(self, noise: Any, start: Any, steps: Guidance) -> Any:
        """Latents on a way from the conditions ``start`` to others, step by step.

        A strength of 0 leaves a step out, 1 goes all of it, more goes beyond.
        """


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

    def draw(self, noise: Any, conditions: Any) -> Any:
        """Mean plus scaled noise."""
        mean, log_variance = self.moments(conditions)
        return mean + tf.exp(log_variance / 2) * noise

    def draw_guided(self, noise: Any, start: Any, steps: Guidance) -> Any:
        """Guidance moves mean and scale.

        The scale stops where a condition puts it: a strength above 1 exaggerates the mean alone.
        """
        mean, log_variance = before = self.moments(start)
        for conditions, strength in steps:
            here = self.moments(conditions)
            mean += strength * (here[0] - before[0])
            log_variance += tf.minimum(strength, 1.0) * (here[1] - before[1])
            before = here
        return mean + tf.exp(log_variance / 2) * noise

    def moments(self, conditions: Any) -> tuple[Any, Any]:
        """Means and log-variances, both (n, latent_size)."""
        mean, log_variance = tf.split(self.network(conditions), 2, axis=-1)
        return mean, tf.clip_by_value(log_variance, -10.0, 4.0)


@final
class FlowPrior(PriorNetwork):
    """Rectified flow from noise to latents (Liu, Gong & Liu 2023).

    The noise is around the mean latent that a linear map expects under the condition, rather
    than around zero: what is linear in a taste need not be learned by steps.
    """

    def __init__(
        self, latent_size: int, condition_size: int, width: int, depth: int, n_steps: int
    ) -> None:
        self.start = build_flow_start(condition_size, latent_size)
        self.context = build_flow_context(condition_size, width, depth)
        self.velocity = build_flow_velocity(latent_size, width, depth)
        self.networks = {
            "prior_start": self.start,
            "prior_context": self.context,
            "prior_velocity": self.velocity,
        }
        self.n_steps = n_steps

    def prepare(
        self, latents: Floats, conditions: Floats, weights: npt.NDArray[np.float64]
    ) -> None:
        """Fit the linear map to where the flow starts."""
        matrix, _ = ridge(conditions, latents, weights, intercept=False)
        self.start.set_weights([matrix])

    def loss(self, latents: Any, conditions: Any, seed: Any) -> Mapping[str, Any]:
        """Mean squared error of the velocity z − ε on the line from ε, around its mean, to z.

        Times are logit-normal, since the middle of the way is the hardest (Esser et al.
        2024, section 3.1).
        """
        noise = self.start(conditions) + tf.random.stateless_normal(tf.shape(latents), seed)
        time = tf.sigmoid(tf.random.stateless_normal((tf.shape(latents)[0], 1), seed + 1))
        position = (1 - time) * noise + time * latents
        velocity = self.velocity([position, time, self.context(conditions)])
        return {"loss": tf.reduce_mean(tf.square(velocity - (latents - noise)))}

    def draw(self, noise: Any, conditions: Any) -> Any:
        """Euler steps of equal length."""
        context = self.context(conditions)
        return self._flown(self.start(conditions) + noise, lambda velocity: velocity(context))

    def draw_guided(self, noise: Any, start: Any, steps: Guidance) -> Any:
        """Euler steps along the guided velocity, which costs one more for each of the steps."""
        first = self.context(start)
        contexts = [(self.context(conditions), strength) for conditions, strength in steps]
        source = noise + _gone(self.start, start, steps)
        return self._flown(source, lambda velocity: _gone(velocity, first, contexts))

    def _flown(self, z: Any, follow: Callable[[Callable[[Any], Any]], Any]) -> Any:
        # A loop is traced once, not once a step: seconds less before the first picture.
        def step(k: Any, z: Any) -> tuple[Any, Any]:
            time = tf.fill((tf.shape(z)[0], 1), tf.cast(k, tf.float32) / self.n_steps)
            velocity = follow(lambda context: self.velocity([z, time, context]))
            return k + 1, z + velocity / self.n_steps

        return tf.while_loop(lambda k, _: k < self.n_steps, step, (0, z))[1]


def _gone(value: Callable[[Any], Any], start: Any, steps: Guidance) -> Any:
    """A value at the start, and the guided steps from there to its values at the others."""
    total = before = value(start)
    for place, strength in steps:
        here = value(place)
        total += strength * (here - before)
        before = here
    return total


def hidden(preferences: Any, share: float, seed: Any) -> Any:
    """Preferences (n, d + 1), a share of the rows, drawn by the seed, made unknown."""
    kept = tf.random.stateless_uniform((tf.shape(preferences)[0], 1), seed) >= share
    return preferences * tf.cast(kept, tf.float32)


def prior_network(config: ImageryConfig, condition_size: int) -> PriorNetwork:
    """The network that the settings name, for conditions (n, condition_size)."""
    shape = (config.latent_size, condition_size, config.prior_width)
    if config.prior == "gaussian":
        return GaussianPrior(*shape)
    return FlowPrior(*shape, config.prior_depth, config.flow_steps)
