"""The conditional prior p(z | c): how a preference becomes a latent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from scipy import sparse

from prodgen_rec.imagery.attributes import UNSAID, Codes
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.condition import Vectors
from prodgen_rec.imagery.config import ImageryConfig
from prodgen_rec.imagery.pairs import Pairs
from prodgen_rec.imagery.priors import hidden, prior_network
from prodgen_rec.imagery.runtime import batches, by_tiles, compiled, dtype_policy, seeded
from prodgen_rec.imagery.training import Phase, Player, Trainer

Floats = npt.NDArray[np.float32]


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
        with dtype_policy("float32"), seeded(seed):
            self.prior = prior_network(config, preference_size + sum(n_values))
        self.latent_mean = np.zeros(config.latent_size, np.float32)
        self.latent_scale = np.ones(config.latent_size, np.float32)

        self._follow, self._guide, self._ask = map(
            compiled, (self._followed, self._guided, self._asked)
        )

    def fit(
        self,
        moments: Floats,
        preferences: Vectors,
        codes: Codes,
        pairs: Pairs,
        trainer: Trainer,
        budget: Budget,
        *,
        pictures: Callable[[], npt.NDArray[np.uint8]] | None = None,
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
        self.prior.prepare(*self._mean_latents(moments, preferences, pairs))

        def loss(batch: Any, seed: Any) -> Mapping[str, Any]:
            mean, log_variance = tf.split(batch[0], 2, axis=-1)
            z = mean + tf.exp(log_variance / 2) * tf.random.stateless_normal(tf.shape(mean), seed)
            standardized = (z - self.latent_mean) / self.latent_scale
            preferences = hidden(batch[1], self.config.condition_dropout, seed + 1)
            conditions = self._conditions(preferences, _some_unsaid(batch[2], seed + 4))
            return self.prior.loss(standardized, conditions, seed + 2)

        def rows(index: npt.NDArray[np.int64]) -> tuple[Floats, Vectors, Codes]:
            photos = pairs.photo_rows[index]
            return moments[photos], preferences[pairs.vector_rows[index]], codes[photos]

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
            pictures=pictures,
        )
        return trainer.run(phase, budget)

    def sample(self, preferences: Vectors, codes: Codes, noise: Floats, guidance: float) -> Floats:
        """Latents float32 (n, latent_size) of preferences, attributes and noise."""
        if guidance == 0:
            preferences = np.zeros_like(preferences)
        asked = (codes != UNSAID).any(axis=1) & (guidance > 0)
        rest = self._follow if guidance in (0, 1) else self._guide
        strength = tf.constant(guidance, tf.float32)
        latents = np.empty_like(noise)
        for rows, draw in ((asked, self._ask), (~asked, rest)):
            if not rows.any():  # a graph takes seconds to trace
                continue
            drawn = by_tiles(
                lambda *some, draw=draw: draw(*some, strength),
                preferences[rows],
                codes[rows],
                noise[rows],
            )
            latents[rows] = drawn * self.latent_scale + self.latent_mean
        return latents

    def _followed(self, preferences: Any, codes: Any, noise: Any, guidance: Any) -> Any:
        """Draw for the conditions as they are, which costs half of what guidance does."""
        return self.prior.draw(noise, self._conditions(preferences, codes))

    def _guided(self, preferences: Any, codes: Any, noise: Any, guidance: Any) -> Any:
        """Draw for the taste as strongly as guidance says, and nothing that was asked for."""
        without = self._conditions(tf.zeros_like(preferences), codes)
        taste = self._conditions(preferences, codes)
        return self.prior.draw_guided(noise, without, [(taste, guidance)])

    def _asked(self, preferences: Any, codes: Any, noise: Any, guidance: Any) -> Any:
        """Draw for what was asked for, more strongly than for the taste that may be against it."""
        nothing = tf.zeros_like(preferences)
        start = self._conditions(nothing, tf.fill(tf.shape(codes), UNSAID))
        wish, both = self._conditions(nothing, codes), self._conditions(preferences, codes)
        steps = [(wish, 1.0 + guidance), (both, guidance)]
        return self.prior.draw_guided(noise, start, steps)

    def _conditions(self, preferences: Any, codes: Any) -> Any:
        """What the network is given, (n, preference_size + values of all attributes)."""
        said = [tf.one_hot(codes[:, i], n) for i, n in enumerate(self.n_values)]
        return tf.concat([preferences, *said], axis=1)

    def _mean_latents(
        self, moments: Floats, preferences: Vectors, pairs: Pairs
    ) -> tuple[Floats, Floats, npt.NDArray[np.float64]]:
        """Mean latent, conditions and weight of each known preference that is in a pair."""
        shape = (len(preferences), len(moments))
        entries = (pairs.weights, (pairs.vector_rows, pairs.photo_rows))
        weights = pairs.vector_weights()
        rows = np.flatnonzero((weights > 0) & preferences.any(axis=1))
        totals = sparse.csr_array(entries, shape)[rows] @ moments[:, : self.config.latent_size]
        means = (totals / weights[rows, None] - self.latent_mean) / self.latent_scale
        unsaid = np.zeros((len(rows), sum(self.n_values)), np.float32)
        conditions = np.concatenate([preferences[rows], unsaid], axis=1)
        return means.astype(np.float32), conditions, weights[rows]

    def _fit_scales(self, moments: Floats, pairs: Pairs) -> None:
        means, log_variances = np.split(moments, 2, axis=1)
        weight = np.bincount(pairs.photo_rows, pairs.weights, minlength=len(moments))
        share = weight / weight.sum()
        mean = share @ means
        variance = share @ (np.square(means - mean) + np.exp(log_variances))
        self.latent_mean = mean.astype(np.float32)
        self.latent_scale = np.sqrt(variance).astype(np.float32)


def _some_unsaid(codes: Any, seed: Any) -> Any:
    """Codes (n, n_attributes) of which all, some or none of a row are left as they are.

    The share that is hidden is itself drawn evenly, row by row.
    """
    share = tf.random.stateless_uniform((tf.shape(codes)[0], 1), seed)
    unsaid = tf.random.stateless_uniform(tf.shape(codes), seed + 1) < share
    return tf.where(unsaid, UNSAID, codes)
