"""Conditional priors p(z | c): how a preference becomes a latent.

Both priors turn the same noise into latents and know a guidance scale: 0 ignores the
condition, 1 follows it, more than 1 exaggerates it (classifier-free guidance, Ho &
Salimans 2022).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, final

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
    flops,
)
from prodgen_rec.imagery.pairs import Pairs
from prodgen_rec.imagery.replicas import normal, uniform
from prodgen_rec.imagery.runtime import (
    batches,
    by_tiles,
    compiled,
    dtype_policy,
    seeded,
    training_precision,
)
from prodgen_rec.imagery.training import Phase, Player, Trainer
from prodgen_rec.vocabulary import UNSAID, Codes

Floats = npt.NDArray[np.float32]
Pictures = npt.NDArray[np.uint8]


Guidance = Sequence[tuple[Any, Any]]
"""Conditions to go to, one after the other, and how far each time."""


class Begin(NamedTuple):
    """Where the drawing of latents begins.

    Attributes
    ----------
    noise
        Standard normal, (n, latent_size).
    exemplars
        Latents to be near to, of the same shape.
    likeness
        How near, a scalar from 0, noise alone, to 1, the exemplars themselves.
    """

    noise: Any
    exemplars: Any = 0.0
    likeness: Any = 0.0

    def mixed(self, drawn: Any) -> Any:
        """A point between what was drawn and the exemplars."""
        return (1.0 - self.likeness) * drawn + self.likeness * self.exemplars


class PriorNetwork(ABC):
    """Networks and the two things one does with them.

    Latents here are standardized: zero mean and unit variance per dimension over the
    training pairs.
    """

    networks: dict[str, keras.Model]

    @abstractmethod
    def flops(self, n_conditions: int) -> int:
        """Floating point operations of one latent that `draw` draws under so many conditions."""

    @abstractmethod
    def loss(self, latents: Any, conditions: Any, seed: Any) -> Mapping[str, Any]:
        """Losses of latents (n, latent_size) under conditions (n, d + 1)."""

    @abstractmethod
    def effect(self, conditions: Any, further: Guidance = ()) -> Any:
        """What conditions (n, d + 1) do to the way to a latent: a row for each.

        Parameters
        ----------
        further
            Leads on from the conditions to others, step by step. A strength of 0 leaves a step
            out, 1 goes all of it, more goes beyond.
        """

    @abstractmethod
    def walk(self, begin: Begin, effect: Any) -> Any:
        """Latents (n, latent_size) from where they begin, the way that conditions have shown."""

    def draw(self, begin: Begin, conditions: Any, further: Guidance = ()) -> Any:
        """Latents (n, latent_size) from where they begin, under conditions; see `effect`."""
        return self.walk(begin, self.effect(conditions, further))


@final
class GaussianPrior(PriorNetwork):
    """p(z | c) = N(μ(c), diag σ²(c)), the prior of Sohn, Lee & Yan 2015."""

    def __init__(self, latent_size: int, condition_size: int, width: int) -> None:
        self.network = build_gaussian_prior(latent_size, condition_size, width)
        self.networks = {"prior": self.network}

    def flops(self, n_conditions: int) -> int:
        """Those of its one network for each of them."""
        return n_conditions * flops(self.network)

    def loss(self, latents: Any, conditions: Any, seed: Any) -> Mapping[str, Any]:
        """Negative log likelihood per dimension, up to a constant.

        Its expectation over z ~ q(z | x) is KL(q(z | x) ‖ p(z | c)) plus the entropy of q,
        which the prior cannot change: the prior's part of the evidence bound.
        """
        mean, log_variance = self.moments(conditions)
        squared = tf.square(latents - mean) * tf.exp(-log_variance)
        return {"loss": 0.5 * tf.reduce_mean(squared + log_variance)}

    def effect(self, conditions: Any, further: Guidance = ()) -> Any:
        """Mean and log-variance side by side; guidance moves both.

        The scale stops where a condition puts it: a strength above 1 exaggerates the mean alone.
        """
        mean, log_variance = before = self.moments(conditions)
        for others, strength in further:
            here = self.moments(others)
            mean += strength * (here[0] - before[0])
            log_variance += tf.minimum(strength, 1.0) * (here[1] - before[1])
            before = here
        return tf.concat([mean, log_variance], axis=-1)

    def walk(self, begin: Begin, effect: Any) -> Any:
        """Mean plus scaled noise, drawn towards the exemplars."""
        mean, log_variance = tf.split(effect, 2, axis=-1)
        return begin.mixed(mean + tf.exp(log_variance / 2) * begin.noise)

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
        *_, features, self._effect = self.context.layers
        self._features = keras.Model(self.context.inputs, features.output)
        self.networks = {"prior_context": self.context, "prior_velocity": self.velocity}
        self.n_steps = n_steps

    def flops(self, n_conditions: int) -> int:
        """The context's features once for each of them, its effect once, and every step."""
        effect = flops(self.context) - flops(self._features)
        return n_conditions * flops(self._features) + effect + self.n_steps * flops(self.velocity)

    def loss(self, latents: Any, conditions: Any, seed: Any) -> Mapping[str, Any]:
        """Mean squared error of the velocity z − ε on the line from ε to z.

        Times are logit-normal, since the middle of the way is the hardest (Esser et al.
        2024, section 3.1).
        """
        noise = normal(tf.shape(latents), seed)
        time = tf.sigmoid(normal((tf.shape(latents)[0], 1), seed + 1))
        position = (1 - time) * noise + time * latents
        velocity = self.velocity([position, time, self.context(conditions)])
        return {"loss": tf.reduce_mean(tf.square(velocity - (latents - noise)))}

    def effect(self, conditions: Any, further: Guidance = ()) -> Any:
        """The context, of which there is one for all steps; guidance moves it.

        Its last layer is linear, so that moving what goes into it does the same for less.
        """
        features = before = self._features(conditions)
        for others, strength in further:
            here = self._features(others)
            features += strength * (here - before)
            before = here
        return self._effect(features)

    def walk(self, begin: Begin, effect: Any) -> Any:
        """Euler steps of equal length, from the point on the way that is like the exemplars."""
        length = (1.0 - begin.likeness) / self.n_steps

        # A loop is traced once, not once a step: seconds less before the first picture.
        def step(k: Any, z: Any) -> tuple[Any, Any]:
            # All rows are at the same time, and what it does to them is worked out once.
            time = tf.reshape(begin.likeness + length * tf.cast(k, tf.float32), (1, 1))
            return k + 1, z + length * self.velocity([z, time, effect])

        start = begin.mixed(begin.noise)
        return tf.while_loop(lambda k, _: k < self.n_steps, step, (0, start))[1]


class ConditionalPrior:
    """A prior network with the scales of what goes in and what comes out.

    What it is conditioned on is a preference, hidden in a share of the training, and attributes
    of the product, of which all, some or none are shown. Guidance exaggerates the preference
    alone: who asks for a dress gets one, however strong the taste.

    Parameters
    ----------
    config
        Settings.
    preference_size
        Numbers in a whitened preference, whether it is known included.
    n_values
        Values of each attribute.
    seed
        Seed of the initial weights and of the batches.
    """

    def __init__(
        self, config: ImageryConfig, preference_size: int, n_values: Sequence[int], *, seed: int
    ) -> None:
        self.config = config
        self.n_values = n_values
        self.seed = seed
        self._condition_size = preference_size + sum(n_values)
        self.prior = self._built("float32")
        self.latent_mean = np.zeros(config.latent_size, np.float32)
        self.latent_scale = np.ones(config.latent_size, np.float32)

        # Not fused: nobody's taste, known beforehand, would be worked out in another way than a
        # user's, and rounded differently, so that no taste would not be the same as none followed.
        self.effect_tile = compiled(self._effect)
        self.walk_tile = compiled(self._walked, fused=True)

    @property
    def flops(self) -> int:
        """Floating point operations of one latent."""
        return self.prior.flops(n_conditions=3)

    def fit(
        self,
        moments: Floats,
        preferences: Vectors,
        codes: Codes,
        pairs: Pairs,
        trainer: Trainer,
        budget: Budget,
        *,
        pictures: Callable[[], Pictures] | None = None,
    ) -> pd.DataFrame:
        """Train on the latents of the photos in the pairs and return the log.

        Parameters
        ----------
        moments
            float32 (n_photos, 2 · latent_size), means and log-variances of q(z | x).
        preferences
            float32 (n_vectors, preference_size), of the vectors of the pairs.
        codes
            int32 (n_photos, n_attributes), of the photos.
        pairs
            Rows of these that belong together.
        pictures
            See `Phase`.
        """
        self._fit_scales(moments, pairs)
        prior = self._built(training_precision(self.config.precision))

        def loss(batch: Any, seed: Any) -> Mapping[str, Any]:
            mean, log_variance = tf.split(batch[0], 2, axis=-1)
            z = mean + tf.exp(log_variance / 2) * normal(tf.shape(mean), seed)
            standardized = (z - self.latent_mean) / self.latent_scale
            preferences = hidden(batch[1], self.config.condition_dropout, seed + 1)
            conditions = self._conditions(preferences, _some_unsaid(batch[2], seed + 4))
            return prior.loss(standardized, conditions, seed + 2)

        def rows(index: npt.NDArray[np.int64]) -> tuple[Floats, Vectors, Codes]:
            photos = pairs.photo_rows[index]
            return moments[photos], preferences[pairs.vector_rows[index]], codes[photos]

        trained = [v for one in prior.networks.values() for v in one.trainable_variables]
        phase = Phase(
            "prior",
            {"loss": Player(trained)},
            loss,
            lambda step: batches(
                rows,
                pairs.weights,
                self.config.prior_batch_size,
                seed=self.seed,
                first_step=step,
            ),
            pictures=partial(self._shown, prior, pictures) if pictures else None,
            examples="pairs",
        )
        log = trainer.run(phase, budget)
        _copy_weights(prior, self.prior)
        return log

    def sample(
        self,
        preferences: Vectors,
        codes: Codes,
        noise: Floats,
        guidance: float,
        *,
        exemplars: Floats | None = None,
        likeness: float = 0.0,
    ) -> Floats:
        """Latents float32 (n, latent_size) of preferences, attributes and noise.

        Parameters
        ----------
        exemplars
            float32 (n, latent_size), latents to be near to.
        likeness
            How near, 0 to 1; see `Begin`.
        """
        if exemplars is None:
            exemplars, likeness = np.zeros_like(noise), 0.0
        standardized = (exemplars - self.latent_mean) / self.latent_scale
        strength, near = tf.constant(guidance, tf.float32), tf.constant(likeness, tf.float32)

        def tile(preferences: Any, codes: Any, noise: Any, exemplars: Any) -> Any:
            effect = self.effect_tile(preferences, codes, strength)
            return self.walk_tile(noise, exemplars, near, effect)

        drawn = by_tiles(tile, preferences, codes, noise, standardized)
        return drawn * self.latent_scale + self.latent_mean

    def _shown(self, trained: PriorNetwork, pictures: Callable[[], Pictures]) -> Pictures:
        """Pictures by what the training has come to."""
        _copy_weights(trained, self.prior)
        return pictures()

    def _built(self, policy: str) -> PriorNetwork:
        """The networks before any training, to compute in a Keras dtype policy."""
        config = self.config
        shape = (config.latent_size, self._condition_size, config.prior_width)
        with dtype_policy(policy), seeded(self.seed):
            if config.prior == "gaussian":
                return GaussianPrior(*shape)
            return FlowPrior(*shape, config.prior_depth, config.flow_steps)

    def _effect(self, preferences: Any, codes: Any, guidance: Any) -> Any:
        """Of what was asked for, more strongly than of the taste that may be against it."""
        nobody = tf.zeros_like(preferences)
        anything = self._conditions(nobody, tf.fill(tf.shape(codes), UNSAID))
        asked = self._conditions(nobody, codes), 1.0 + guidance
        taste = self._conditions(preferences, codes), guidance
        return self.prior.effect(anything, (asked, taste))

    def _walked(self, noise: Any, exemplars: Any, likeness: Any, effect: Any) -> Any:
        return self.prior.walk(Begin(noise, exemplars, likeness), effect)

    def _conditions(self, preferences: Any, codes: Any) -> Any:
        """What the network is given, (n, preference_size + values of all attributes)."""
        said = [tf.one_hot(codes[:, i], n) for i, n in enumerate(self.n_values)]
        return tf.concat([preferences, *said], axis=1)

    def _fit_scales(self, moments: Floats, pairs: Pairs) -> None:
        means, log_variances = np.split(moments, 2, axis=1)
        weight = np.bincount(pairs.photo_rows, pairs.weights, minlength=len(moments))
        share = weight / weight.sum()
        mean = share @ means
        variance = share @ (np.square(means - mean) + np.exp(log_variances))
        self.latent_mean = mean.astype(np.float32)
        self.latent_scale = np.sqrt(variance).astype(np.float32)


def hidden(preferences: Any, share: float, seed: Any) -> Any:
    """Preferences (n, d + 1), a share of the rows, drawn by the seed, made unknown."""
    kept = uniform((tf.shape(preferences)[0], 1), seed) >= share
    return preferences * tf.cast(kept, tf.float32)


def _some_unsaid(codes: Any, seed: Any) -> Any:
    """Codes (n, n_attributes) of which all, some or none of a row are left as they are.

    The share that is hidden is itself drawn evenly, row by row.
    """
    share = uniform((tf.shape(codes)[0], 1), seed)
    unsaid = uniform(tf.shape(codes), seed + 1) < share
    return tf.where(unsaid, UNSAID, codes)


def _copy_weights(source: PriorNetwork, target: PriorNetwork) -> None:
    for name, network in source.networks.items():
        target.networks[name].set_weights(network.get_weights())
