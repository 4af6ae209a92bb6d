"""The small dense GAN of 28 × 28 grey pixels that tutorials begin with, as an image model.

    python examples/dense_gan.py --out dense_gan

It is here to be compared with, and to show how a model of one's own takes part: a subclass that
builds other networks has the training, the checkpoints and the files of the library.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from prodgen_rec.datasets import make_shop
from prodgen_rec.display import comparison_rows
from prodgen_rec.imagery import DCGAN, Budget, GANConfig, Pairs
from prodgen_rec.imagery.noise import user_noise

SIZE, SIDE = 32, 28
BORDER = (SIZE - SIDE) // 2


class DenseGAN(DCGAN):
    """Dense layers from noise to 784 pixels, against dense layers from 784 pixels to a logit."""

    def _players(self, condition_size: int) -> tuple[keras.Model, keras.Model]:
        noise = x = keras.Input((self.latent_size,))
        for width in (128, 256, 512):
            x = layers.BatchNormalization(momentum=0.8)(layers.Dense(width, "leaky_relu")(x))
        x = layers.Reshape((SIDE, SIDE, 1))(layers.Dense(SIDE**2, "tanh")(x))
        white_around = 1 - layers.ZeroPadding2D(BORDER)(1 - x)
        generator = keras.Model([noise], ops.repeat(white_around, 3, axis=-1))

        picture = keras.Input((SIZE, SIZE, 3))
        x = layers.Cropping2D(BORDER)(ops.mean(picture, axis=-1, keepdims=True))
        x = layers.Flatten()(x)
        for width in (512, 256):
            x = layers.Dense(width, "leaky_relu")(x)
        return generator, keras.Model([picture], layers.Dense(1)(x))


def main() -> None:
    """Learn, draw, save, load."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("dense_gan"))
    parser.add_argument("--steps", type=int, default=3000)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    photos = make_shop(n_items=600, n_users=1, photo_size=SIZE, seed=0).photos

    rows = np.arange(len(photos))
    nobody = np.zeros((len(photos), 1), np.float32)  # this model knows no preferences
    pairs = Pairs(nobody, rows, rows, np.ones(len(photos)))
    model = DenseGAN(GANConfig(size=SIZE, latent_channels=6), seed=0)
    model.fit(photos, pairs, Budget(steps=arguments.steps))
    model.save(arguments.out)

    noise = user_noise(0, ["anybody"], 12, model.latent_size)[0]
    drawn = DenseGAN.load(arguments.out).sample(nobody[:12], noise)
    comparison_rows({"photos": photos[:12], "dense GAN": drawn}, arguments.out / "pictures.png")


if __name__ == "__main__":
    main()
