"""The encoder q(z | x) and the decoder p(x | z), trained together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from prodgen_rec.imagery.adversary import (
    Adversary,
    compared,
    discriminator_loss,
    generator_loss,
)
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.config import ImageryConfig
from prodgen_rec.imagery.networks import build_decoder, build_encoder
from prodgen_rec.imagery.perceptual import PerceptualDistance
from prodgen_rec.imagery.replicas import normal, uniform
from prodgen_rec.imagery.runtime import (
    batches,
    by_tiles,
    compiled,
    dtype_policy,
    seeded,
    spread,
    training_precision,
)
from prodgen_rec.imagery.training import Phase, Player, Trainer

Photos = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


_SHARPENING_RATE = 2e-4
_BETAS = (0.0, 0.99)
"""Without momentum, as is usual where two players answer each other's moves."""


class Autoencoder:
    """A variational autoencoder of pictures (Kingma & Welling 2014).

    Parameters
    ----------
    config
        Settings.
    seed
        Seed of the initial weights and of the batches.
    """

    def __init__(self, config: ImageryConfig, *, seed: int) -> None:
        self.config = config
        self.seed = seed
        with dtype_policy("float32"):
            self.encoder, self.decoder = _build(config, seed)
        self._encode = compiled(lambda photos: flat_moments(self.encoder(to_unit(photos))))
        self.decode_tile = compiled(lambda z: to_uint8(self.decoder(self._as_map(z))))

    def fit(self, photos: Photos, trainer: Trainer, budget: Budget) -> pd.DataFrame:
        """Train on photos uint8 (n, size, size, 3) and return the log."""
        config = self.config
        distance = PerceptualDistance(config.size) if config.perceptual_weight > 0 else None
        return self._fit("autoencoder", distance, config.learning_rate, photos, trainer, budget)

    def refine(self, photos: Photos, trainer: Trainer, budget: Budget) -> pd.DataFrame:
        """Train on, by a perceptual distance that looks at pictures closely; returns the log.

        From the beginning it would cost too much, and leave colors aside.
        """
        distance = PerceptualDistance(self.config.size, close=True)
        peak_rate = self.config.learning_rate / 2
        return self._fit("refinement", distance, peak_rate, photos, trainer, budget)

    def _fit(
        self,
        phase: str,
        distance: PerceptualDistance | None,
        peak_rate: float,
        photos: Photos,
        trainer: Trainer,
        budget: Budget,
    ) -> pd.DataFrame:
        """Train both networks from where they are."""
        config = self.config
        with dtype_policy(training_precision(config.precision)):
            encoder, decoder = _build(config, self.seed)
        encoder.set_weights(self.encoder.get_weights())
        decoder.set_weights(self.decoder.get_weights())

        def loss(batch: Any, seed: Any) -> Mapping[str, Any]:
            pictures = to_unit(batch[0])
            if config.mirror:
                pictures = mirrored(pictures, seed + 1)
            mean, log_variance = tf.split(_moments(encoder(pictures)), 2, axis=-1)
            noise = normal(tf.shape(mean), seed)
            rebuilt = decoder(mean + tf.exp(log_variance / 2) * noise)
            l1 = tf.reduce_mean(tf.abs(pictures - rebuilt))
            l2 = tf.reduce_mean(tf.square(pictures - rebuilt))
            kl = kl_to_standard_normal(mean, log_variance)
            losses = {"l1": l1, "l2": l2, "kl": kl}
            total = l1 + l2 + config.kl_weight * kl
            if distance:
                losses["perceptual"] = distance(pictures, rebuilt)
                total += config.perceptual_weight * losses["perceptual"]
            return {"loss": total, **losses}

        shown = photos[spread(len(photos))]

        def pictures() -> Photos:
            mean, _ = tf.split(_moments(encoder(to_unit(shown))), 2, axis=-1)
            return np.stack([shown, to_uint8(decoder(mean)).numpy()])

        trained = [*encoder.trainable_variables, *decoder.trainable_variables]
        log = trainer.run(
            Phase(
                phase,
                {"loss": Player(trained, peak_rate)},
                loss,
                lambda step: batches(
                    lambda index: (photos[index],),
                    np.ones(len(photos)),
                    config.batch_size,
                    seed=self.seed,
                    first_step=step,
                ),
                pictures=pictures,
            ),
            budget,
        )
        self.encoder.set_weights(encoder.get_weights())
        self.decoder.set_weights(decoder.get_weights())
        return log

    def sharpen(
        self, photos: Photos, drawn: Floats, trainer: Trainer, budget: Budget
    ) -> pd.DataFrame:
        """Train the decoder against discriminators, and return the log.

        The encoder stays as it is, and with it what the prior has learned. Half of the pictures
        are photos that were encoded, which have to come back; the other half comes from latents
        as the prior draws them, which have to look like photos.

        Parameters
        ----------
        photos
            uint8 (n, size, size, 3).
        drawn
            float32 (n_drawn, latent_size), latents that the prior drew.
        """
        config = self.config
        adversary = Adversary(config.size, seed=self.seed)
        moments = self.moments(photos)
        with dtype_policy(training_precision(config.precision)):
            _, decoder = _build(config, self.seed)
        decoder.set_weights(self.decoder.get_weights())

        def loss(batch: Any, seed: Any) -> Mapping[str, Any]:
            pictures, moments, latents = to_unit(batch[0]), batch[1], batch[2]
            half = (pictures.shape[0] + 1) // 2
            mean, log_variance = tf.split(moments[:half], 2, axis=-1)
            noise = normal(tf.shape(mean), seed)
            encoded = mean + tf.exp(log_variance / 2) * noise
            made = decoder(self._as_map(tf.concat([encoded, latents[half:]], axis=0)))
            error = pictures[:half] - made[:half]
            l1, l2 = tf.reduce_mean(tf.abs(error)), tf.reduce_mean(tf.square(error))
            # A photo and what was made from it are looked at alike, and once for both losses.
            if config.mirror:
                made, pictures = mirrored(made, seed + 1), mirrored(pictures, seed + 1)
            seen_made, seen = adversary.look(made, seed + 2), adversary.look(pictures, seed + 2)
            on_made, on_real = adversary.logits(seen_made), adversary.logits(seen)
            perceptual = compared(seen, seen_made, half)
            losses = {
                "l1": l1,
                "l2": l2,
                "perceptual": perceptual,
                "adversarial": generator_loss(on_made),
            }
            total = l1 + l2 + config.perceptual_weight * perceptual
            total += config.adversarial_weight * losses["adversarial"]
            against = discriminator_loss(on_real, on_made)
            return {"decoder": total, "discriminator": against, **losses}

        def rows(index: npt.NDArray[np.int64]) -> tuple[Photos, Floats, Floats]:
            return photos[index % len(photos)], moments[index % len(photos)], drawn[index]

        def pictures() -> Photos:
            shown = spread(len(photos))
            mean, _ = tf.split(moments[shown], 2, axis=-1)
            latents = (mean, drawn[: len(shown)])
            made = [to_uint8(decoder(self._as_map(z))).numpy() for z in latents]
            return np.stack([photos[shown], *made])

        phase = Phase(
            "sharpening",
            {
                "decoder": Player(decoder.trainable_variables, _SHARPENING_RATE, _BETAS),
                "discriminator": Player(
                    adversary.variables, 2 * _SHARPENING_RATE, _BETAS, averaged=False
                ),
            },
            loss,
            lambda step: batches(
                rows, np.ones(len(drawn)), config.batch_size, seed=self.seed, first_step=step
            ),
            statistics=adversary.statistics,
            pictures=pictures,
        )
        log = trainer.run(phase, budget)
        self.decoder.set_weights(decoder.get_weights())
        return log

    def moments(self, photos: Photos) -> Floats:
        """Means and log-variances, float32 (n, 2 · latent_size), of q(z | x)."""
        return by_tiles(self._encode, photos)

    def decode(self, latents: Floats) -> Photos:
        """Pictures uint8 (n, size, size, 3) of latents float32 (n, latent_size)."""
        return by_tiles(self.decode_tile, latents)

    def _as_map(self, latents: Any) -> Any:
        side = self.config.latent_side
        return tf.reshape(latents, (-1, side, side, self.config.latent_channels))


def mirrored(pictures: Any, seed: Any) -> Any:
    """Half of the pictures (n, size, size, 3), drawn by the seed, turned left or right."""
    side = uniform((tf.shape(pictures)[0], 1, 1, 1), seed)
    return tf.where(side < 0.5, pictures, pictures[:, :, ::-1])


def kl_to_standard_normal(mean: Any, log_variance: Any) -> Any:
    """Mean over dimensions and rows of KL(N(mean, exp(log_variance)) ‖ N(0, 1)), in nats."""
    return 0.5 * tf.reduce_mean(tf.square(mean) + tf.exp(log_variance) - 1 - log_variance)


def _build(config: ImageryConfig, seed: int) -> tuple[keras.Model, keras.Model]:
    shape, side = (config.size, config.width, config.latent_channels), config.latent_side
    with seeded(seed):
        return build_encoder(*shape, side=side), build_decoder(*shape, config.n_blocks, side=side)


def _moments(encoded: Any) -> Any:
    """Means and log-variances side by side, the latter bounded.

    One extreme photo early in training must not overflow the loss.
    """
    mean, log_variance = tf.split(encoded, 2, axis=-1)
    return tf.concat([mean, tf.clip_by_value(log_variance, -10.0, 4.0)], axis=-1)


def flat_moments(encoded: Any) -> Any:
    """What an encoder gives, (n, side, side, 2 · channels), as rows (n, 2 · latent_size)."""
    mean, log_variance = tf.split(_moments(encoded), 2, axis=-1)
    n = tf.shape(encoded)[0]
    return tf.concat([tf.reshape(mean, (n, -1)), tf.reshape(log_variance, (n, -1))], axis=-1)


def to_unit(photos: Any) -> Any:
    """Photos uint8 as float32 in [-1, 1]."""
    return tf.cast(photos, tf.float32) / 127.5 - 1.0


def to_uint8(pictures: Any) -> Any:
    """Pictures about [-1, 1] as uint8."""
    return tf.cast(tf.round((tf.clip_by_value(pictures, -1.0, 1.0) + 1.0) * 127.5), tf.uint8)
