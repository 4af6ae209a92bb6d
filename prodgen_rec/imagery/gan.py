"""Generative adversarial networks as they were first published: baselines of `ConditionalVAE`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers

from prodgen_rec.imagery.autoencoder import to_uint8, to_unit
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.condition import Vectors
from prodgen_rec.imagery.config import GANConfig
from prodgen_rec.imagery.model import Floats, ImageModel, Photos
from prodgen_rec.imagery.networks import COARSEST, stages
from prodgen_rec.imagery.pairs import Pairs
from prodgen_rec.imagery.priors import hidden
from prodgen_rec.imagery.replicas import normal
from prodgen_rec.imagery.runtime import batches, by_tiles, compiled, dtype_policy, seeded, spread
from prodgen_rec.imagery.training import Phase, Player, Trainer

_BETAS = (0.5, 0.999)
"""Those of DCGAN: a momentum of 0.9 made its training oscillate."""


class DCGAN(ImageModel):
    """A convolutional generator against a discriminator; it knows no preferences.

    The discriminator D minimizes −[log D(x) + log(1 − D(G(z)))], the generator G minimizes
    −log D(G(z)) (Goodfellow et al. 2014, section 3). The networks are those of Radford, Metz and
    Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
    networks" (ICLR 2016).
    """

    config_class = GANConfig
    conditional = False
    config: GANConfig
    generator_: keras.Model
    discriminator_: keras.Model

    def _build(self) -> None:
        with dtype_policy("float32"), seeded(self.seed):
            self.generator_, self.discriminator_ = self._players(0)
        self._generate = compiled(lambda inputs: to_uint8(self.generator_(inputs, training=False)))

    def _players(self, condition_size: int) -> tuple[keras.Model, keras.Model]:
        config = self.config
        width = config.condition_width if condition_size else 0
        return (
            build_generator(config.size, config.width, config.latent_size, condition_size, width),
            build_discriminator(config.size, config.width, condition_size, width),
        )

    def _train(
        self, photos: Photos, pairs: Pairs, trainer: Trainer, budget: Budget
    ) -> dict[str, pd.DataFrame]:
        def loss(batch: Any, seed: Any) -> Mapping[str, Any]:
            real = to_unit(batch[0])
            noise = normal((tf.shape(real)[0], self.latent_size), seed)
            conditions = self._shown(batch[1:], seed + 1)
            made = self.generator_([noise, *conditions], training=True)
            on_real = self.discriminator_([real, *conditions], training=True)
            on_made = self.discriminator_([made, *conditions], training=True)
            # The generator must not gain by making the discriminator worse, nor the reverse:
            # each player's gradients are taken with respect to its own variables alone.
            return {
                "generator": tf.reduce_mean(tf.nn.softplus(-on_made)),
                "discriminator": tf.reduce_mean(tf.nn.softplus(-on_real) + tf.nn.softplus(on_made)),
            }

        rows, weights = self._examples(photos, pairs)
        shown = spread(len(weights))
        fixed = tf.constant([self.seed, 0], tf.int64)
        noise = tf.random.stateless_normal((len(shown), self.latent_size), fixed)

        def pictures() -> Photos:
            real, *conditions = rows(shown)
            return np.stack([real, self._generate([noise, *conditions]).numpy()])

        rate = self.config.learning_rate
        phase = Phase(
            "adversarial",
            {
                "generator": Player(self.generator_.trainable_variables, rate, _BETAS),
                "discriminator": Player(
                    self.discriminator_.trainable_variables, rate, _BETAS, averaged=False
                ),
            },
            loss,
            lambda step: batches(
                rows, weights, self.config.batch_size, seed=self.seed, first_step=step
            ),
            statistics=[
                *self.generator_.non_trainable_variables,
                *self.discriminator_.non_trainable_variables,
            ],
            pictures=pictures,
        )
        return {"adversarial": trainer.run(phase, budget)}

    def _shown(self, conditions: Any, seed: Any) -> list[Any]:
        """Conditions that both players see, some of them hidden."""
        return []

    def sample(self, vectors: Vectors, noise: Floats, *, guidance: float = 1.0) -> Photos:
        """Pictures uint8 (n, size, size, 3), whatever the vectors; see `ImageModel.sample`."""
        _, noise = self._conditions(vectors, noise, guidance)
        return by_tiles(lambda rows: self._generate([rows]), noise)

    def _networks(self) -> Mapping[str, keras.Model]:
        return {"generator": self.generator_, "discriminator": self.discriminator_}


class ConditionalGAN(DCGAN):
    """A `DCGAN` whose players both see the condition.

    Mirza and Osindero, "Conditional generative adversarial nets" (2014); the discriminator
    compares by an inner product: Miyato and Koyama, "cGANs with projection discriminator" (ICLR
    2018). Guidance scales the condition.
    """

    conditional = True

    def _build(self) -> None:
        with dtype_policy("float32"), seeded(self.seed):
            self.generator_, self.discriminator_ = self._players(self.whitening_.size + 1)
        self._generate = compiled(lambda inputs: to_uint8(self.generator_(inputs, training=False)))

    def _shown(self, conditions: Any, seed: Any) -> list[Any]:
        return [hidden(conditions[0], self.config.condition_dropout, seed)]

    def sample(self, vectors: Vectors, noise: Floats, *, guidance: float = 1.0) -> Photos:
        """Pictures uint8 (n, size, size, 3) for preference vectors; see `ImageModel.sample`."""
        conditions, noise = self._conditions(vectors, noise, guidance)
        scaled = conditions * np.float32(guidance)
        return by_tiles(lambda *rows: self._generate(list(rows)), noise, scaled)


def build_generator(
    size: int, width: int, latent_size: int, condition_size: int, condition_width: int
) -> keras.Model:
    """Noise, and a condition if there are any, to pictures float32 (n, size, size, 3) in [-1, 1].

    Transposed convolutions with batch normalization and rectifiers, a hyperbolic tangent at the
    end.
    """
    inputs = [keras.Input((latent_size,), name="noise")]
    x = inputs[0]
    if condition_size:
        inputs.append(keras.Input((condition_size,), name="condition"))
        x = layers.concatenate([x, layers.Dense(condition_width, "leaky_relu")(inputs[1])])
    (_, coarsest), *finer = reversed(stages(size, width))
    x = layers.Dense(COARSEST**2 * coarsest, use_bias=False, kernel_initializer=_start())(x)
    x = layers.Reshape((COARSEST, COARSEST, coarsest))(x)
    x = layers.ReLU()(_normalized(x))
    for _, channels in finer:
        x = layers.Conv2DTranspose(
            channels, 4, 2, "same", use_bias=False, kernel_initializer=_start()
        )(x)
        x = layers.ReLU()(_normalized(x))
    picture = layers.Conv2DTranspose(
        3, 4, 2, "same", activation="tanh", kernel_initializer=_start()
    )(x)
    return keras.Model(inputs, picture, name="generator")


def build_discriminator(
    size: int, width: int, condition_size: int, condition_width: int
) -> keras.Model:
    """Pictures float32 (n, size, size, 3), and conditions if there are any, to logits (n, 1)."""
    inputs = [keras.Input((size, size, 3), name="picture")]
    x = inputs[0]
    for i, (_, channels) in enumerate(stages(size, width)):
        x = layers.Conv2D(channels, 4, 2, "same", kernel_initializer=_start())(x)
        if i:
            x = _normalized(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Flatten()(x)
    if condition_size:
        inputs.append(keras.Input((condition_size,), name="condition"))
        x = layers.Dense(condition_width, "leaky_relu")(x)
        wanted = layers.Dense(condition_width)(inputs[1])
        fit = layers.Dot(axes=1)([x, wanted])
        return keras.Model(inputs, layers.add([layers.Dense(1)(x), fit]), name="discriminator")
    logit = layers.Dense(1, kernel_initializer=_start())(x)
    return keras.Model(inputs, logit, name="discriminator")


def _normalized(x: Any) -> Any:
    # By the whole batch, where several devices have their rows of it.
    return layers.BatchNormalization(synchronized=tf.distribute.has_strategy())(x)


def _start() -> keras.Initializer:
    return keras.initializers.RandomNormal(stddev=0.02)
