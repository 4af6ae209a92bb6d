"""Variational autoencoders as they were first published: baselines of `ConditionalVAE`.

Both maximize the evidence bound as it stands, with pixels of unit variance, so that the
divergence has its full weight (β = 1). What the pixels leave uncertain comes out blurred.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from prodgen_rec.imagery.autoencoder import flat_moments, to_uint8, to_unit
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.condition import Vectors
from prodgen_rec.imagery.config import PlainVAEConfig
from prodgen_rec.imagery.model import Floats, ImageModel, Photos
from prodgen_rec.imagery.networks import COARSEST, build_decoder, build_encoder
from prodgen_rec.imagery.pairs import Pairs
from prodgen_rec.imagery.priors import Begin, GaussianPrior, hidden
from prodgen_rec.imagery.replicas import normal
from prodgen_rec.imagery.runtime import batches, by_tiles, compiled, dtype_policy, seeded, spread
from prodgen_rec.imagery.training import Phase, Player, Trainer


class PlainVAE(ImageModel):
    """A variational autoencoder that knows no preferences (Kingma & Welling 2014)."""

    config_class = PlainVAEConfig
    conditional = False
    config: PlainVAEConfig
    encoder_: keras.Model
    decoder_: keras.Model

    def _build(self) -> None:
        shape = (self.config.size, self.config.width, self.config.latent_channels)
        with dtype_policy("float32"), seeded(self.seed):
            self.encoder_, self.decoder_ = build_encoder(*shape), build_decoder(*shape, 0)
        self._decode = compiled(lambda latents: to_uint8(self._pictures(latents)))
        self._encode = compiled(lambda photos: flat_moments(self.encoder_(to_unit(photos))))

    def reconstruct(self, photos: Photos) -> Photos:
        """Photos uint8 (n, size, size, 3), encoded to their mean latents and decoded."""
        self._check_fitted()
        self._check_photos(photos)
        return by_tiles(self._decode, by_tiles(self._encode, photos)[:, : self.latent_size])

    def _train(
        self, photos: Photos, pairs: Pairs, trainer: Trainer, budget: Budget
    ) -> dict[str, pd.DataFrame]:
        def loss(batch: Any, seed: Any) -> Mapping[str, Any]:
            pictures = to_unit(batch[0])
            mean, log_variance = tf.split(flat_moments(self.encoder_(pictures)), 2, axis=-1)
            noise = normal(tf.shape(mean), seed)
            rebuilt = self._pictures(mean + tf.exp(log_variance / 2) * noise)
            error = tf.reduce_sum(tf.square(pictures - rebuilt), axis=(1, 2, 3)) / 2
            divergence = kl_divergence(mean, log_variance, *self._prior(batch[1:], seed))
            nats = tf.reduce_mean(error + divergence)
            n_values = 3 * self.config.size**2
            return {
                "loss": nats / n_values,
                "error": tf.reduce_mean(error),
                "kl": tf.reduce_mean(divergence),
            }

        rows, weights = self._examples(photos, pairs)
        shown = spread(len(weights))
        fixed = tf.constant([self.seed, 0], tf.int64)
        noise = tf.random.stateless_normal((len(shown), self.latent_size), fixed)

        def pictures() -> Photos:
            real, *conditions = rows(shown)
            mean, _ = tf.split(flat_moments(self.encoder_(to_unit(real))), 2, axis=-1)
            prior_mean, prior_log_variance = self._prior(conditions, fixed)
            drawn = prior_mean + tf.exp(prior_log_variance / 2) * noise
            made = [to_uint8(self._pictures(z)).numpy() for z in (mean, drawn)]
            return np.stack([real, *made])

        phase = Phase(
            "vae",
            {"loss": Player(self._trainable(), self.config.learning_rate)},
            loss,
            lambda step: batches(
                rows, weights, self.config.batch_size, seed=self.seed, first_step=step
            ),
            pictures=pictures,
        )
        return {"vae": trainer.run(phase, budget)}

    def _trainable(self) -> list[keras.Variable]:
        return [v for network in self._networks().values() for v in network.trainable_variables]

    def _prior(self, conditions: Any, seed: Any) -> tuple[Any, Any]:
        """Mean and log-variance of the prior."""
        return tf.zeros(()), tf.zeros(())

    def _pictures(self, latents: Any) -> Any:
        shape = (-1, COARSEST, COARSEST, self.config.latent_channels)
        return self.decoder_(tf.reshape(latents, shape))

    def sample(self, vectors: Vectors, noise: Floats, *, guidance: float = 1.0) -> Photos:
        """Pictures uint8 (n, size, size, 3), whatever the vectors; see `ImageModel.sample`."""
        _, noise = self._conditions(vectors, noise, guidance)
        return by_tiles(self._decode, noise)

    def _networks(self) -> Mapping[str, keras.Model]:
        return {"encoder": self.encoder_, "decoder": self.decoder_}


class PlainCVAE(PlainVAE):
    """A variational autoencoder with a Gaussian prior p(z | c), all trained at once.

    Sohn, Lee and Yan, "Learning structured output representation using deep conditional
    generative models" (NeurIPS 2015).
    """

    conditional = True
    prior_: GaussianPrior

    def _build(self) -> None:
        super()._build()
        with dtype_policy("float32"), seeded(self.seed + 1):
            self.prior_ = GaussianPrior(
                self.latent_size, self.whitening_.size + 1, self.config.condition_width
            )
        self._draw = compiled(
            lambda noise, conditions, scale: self.prior_.draw(
                Begin(noise), tf.zeros_like(conditions), [(conditions, scale)]
            )
        )

    def _prior(self, conditions: Any, seed: Any) -> tuple[Any, Any]:
        shown = hidden(conditions[0], self.config.condition_dropout, seed + 1)
        return self.prior_.moments(shown)

    def sample(self, vectors: Vectors, noise: Floats, *, guidance: float = 1.0) -> Photos:
        """Pictures uint8 (n, size, size, 3) for preference vectors; see `ImageModel.sample`."""
        conditions, noise = self._conditions(vectors, noise, guidance)
        scale = tf.constant(guidance, tf.float32)

        def draw(conditions: Vectors, noise: Floats) -> Any:
            return self._decode(self._draw(noise, conditions, scale))

        return by_tiles(draw, conditions, noise)

    def _networks(self) -> Mapping[str, keras.Model]:
        return {**super()._networks(), "prior": self.prior_.network}


def kl_divergence(mean: Any, log_variance: Any, prior_mean: Any, prior_log_variance: Any) -> Any:
    """KL(N(mean, exp(log_variance)) ‖ N(prior_mean, exp(prior_log_variance))) per row, in nats."""
    variances = tf.exp(log_variance - prior_log_variance)
    squared = tf.square(mean - prior_mean) * tf.exp(-prior_log_variance)
    return 0.5 * tf.reduce_sum(squared + variances - 1 - log_variance + prior_log_variance, axis=-1)
