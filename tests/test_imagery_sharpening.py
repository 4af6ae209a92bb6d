"""The perceptual distance, the discriminators, and the sharpening of a decoder."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from imagery_models import small_config
from PIL import Image, ImageFilter

from prodgen_rec.datasets import make_shop
from prodgen_rec.imagery import Budget, ConditionalVAE, ImageryConfig, Pairs
from prodgen_rec.imagery.adversary import (
    Adversary,
    SpectralConv2D,
    augmented,
    compared,
    discriminator_loss,
    generator_loss,
)
from prodgen_rec.imagery.autoencoder import Autoencoder, mirrored, to_unit
from prodgen_rec.imagery.perceptual import CLOSE_STAGES, PerceptualDistance, as_seen
from prodgen_rec.imagery.training import Trainer

SIZE = 32
SEED = tf.constant([1, 2])


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return make_shop(n_items=64, n_users=1, photo_size=SIZE, seed=4).photos


@pytest.fixture(scope="module")
def distance() -> PerceptualDistance:
    return PerceptualDistance(SIZE)


def blurred(photos: np.ndarray, radius: float) -> np.ndarray:
    return np.stack(
        [np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(radius))) for p in photos]
    )


# Perceptual distance


def test_a_picture_is_at_no_distance_from_itself(
    distance: PerceptualDistance, photos: np.ndarray
) -> None:
    x = to_unit(photos[:8])
    assert float(distance(x, x)) == 0
    y = to_unit(photos[8:16])
    assert float(distance(x, y)) == pytest.approx(float(distance(y, x)), rel=1e-5) != 0


def test_blur_is_far_where_pixels_say_it_is_near(
    distance: PerceptualDistance, photos: np.ndarray
) -> None:
    """A shift of brightness costs as many pixels as the blur, and looks much less different."""
    sharp, soft = to_unit(photos), to_unit(blurred(photos, 1.5))
    pixels = float(tf.reduce_mean(tf.abs(sharp - soft)))
    brighter = sharp - np.sign(sharp) * pixels
    assert float(distance(sharp, soft)) > 1.3 * float(distance(sharp, brighter))


def test_the_distance_can_be_learned_from(distance: PerceptualDistance, photos: np.ndarray) -> None:
    target, start = to_unit(photos[:4]), to_unit(blurred(photos[:4], 2))
    x = tf.Variable(start)
    for _ in range(25):
        with tf.GradientTape() as tape:
            value = distance(target, x)
        gradient = tape.gradient(value, x)
        x.assign_sub(1.0 * gradient / tf.norm(gradient))
    assert float(distance(target, x)) < 0.9 * float(distance(target, start))


# Discriminators


def test_losses_are_their_closed_forms() -> None:
    real, made = [tf.constant([[2.0, 0.5]])], [tf.constant([[-3.0, 0.25]])]
    assert float(discriminator_loss(real, made)) == pytest.approx(0.5 / 2 + 1.25 / 2)
    assert float(generator_loss(made)) == pytest.approx(2.75 / 2)
    assert float(discriminator_loss(real * 2, made * 2)) == pytest.approx(0.875)


def test_the_kernel_comes_to_have_singular_value_one() -> None:
    layer = SpectralConv2D(6, 3)
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 4)).astype(np.float32)
    layer(x)
    layer.kernel.assign(5 * layer.kernel.value)
    for _ in range(60):
        layer(x, training=True)
    largest = np.linalg.svd(layer.kernel.numpy().reshape(-1, 6), compute_uv=False)[0]
    expected = keras.ops.conv(x, layer.kernel.value / largest, padding="same")
    np.testing.assert_allclose(layer(x), expected, rtol=1e-3, atol=1e-4)


def test_discriminators_learn_to_tell_blurred_photos(photos: np.ndarray) -> None:
    adversary = Adversary(SIZE, seed=0)
    optimizer = keras.optimizers.Adam(2e-3, beta_1=0.0)
    optimizer.build(adversary.variables)
    real, made = to_unit(photos[:32]), to_unit(blurred(photos[:32], 1))

    @tf.function(autograph=False)
    def step(seed: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = discriminator_loss(
                *(adversary.logits(adversary.look(x, seed)) for x in (real, made))
            )
        variables = [v.value for v in adversary.variables]
        optimizer.apply(tape.gradient(loss, variables), adversary.variables)
        return loss

    losses = [float(step(tf.constant([3, i], tf.int64))) for i in range(40)]
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
    fresh = to_unit(photos[32:]), to_unit(blurred(photos[32:], 1))
    seen = [generator_loss(adversary.logits(adversary.look(x, SEED))) for x in fresh]
    assert float(seen[1]) > float(seen[0]) + 0.3  # blurred ones seem less real


def test_a_photo_and_its_copy_are_looked_at_alike(photos: np.ndarray) -> None:
    adversary = Adversary(SIZE, seed=0)
    photo = adversary.look(to_unit(photos[:4]), SEED)
    half = np.concatenate([photos[:2], photos[6:8]])
    other = adversary.look(to_unit(half), SEED)
    assert float(compared(photo, other, 2)) < 1e-5
    assert float(compared(photo, other, 4)) > 0.1
    assert {name: photo[name].shape[1] for name in CLOSE_STAGES} == {
        "stage_1": 32,
        "stage_2": 16,
        "stage_3": 8,
        "stage_5": 4,
        "stage_7": 2,
    }


def test_pictures_are_enlarged_bicubically(photos: np.ndarray) -> None:
    seen = as_seen(to_unit(photos[:3]), side=2 * SIZE).numpy()
    expected = keras.ops.image.resize(photos[:3].astype(np.float32), (64, 64), "bicubic")
    np.testing.assert_allclose(seen, expected, atol=0.01)


def test_augmented_pictures_are_moved_together_and_recolored_each_by_itself() -> None:
    x = np.full((64, SIZE, SIZE, 3), -0.2, np.float32)
    x[:, 16, 16] = 1.0
    places = set()
    for step in range(40):
        seen = augmented(tf.constant(x), tf.constant([1, step])).numpy()
        (place,) = {*seen.sum(axis=3).reshape(64, -1).argmax(axis=1).tolist()}
        places.add(divmod(place, SIZE))
    down, right = zip(*places, strict=True)
    assert {*down} | {*right} <= set(range(12, 21))
    assert len({*down}) > 5 < len({*right})
    assert seen[:, 0, 0, 0].std() > 0.05
    again = augmented(tf.constant(x), tf.constant([1, 39])).numpy()
    assert np.array_equal(again, seen)


def test_mirrored_pictures_are_half_of_them_turned() -> None:
    x = np.random.default_rng(0).normal(size=(200, 4, 4, 3)).astype(np.float32)
    seen = mirrored(tf.constant(x), tf.constant([5, 6])).numpy()
    turned = (seen == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((seen == x).all(axis=(1, 2, 3)) ^ turned).all()
    assert 0.35 < turned.mean() < 0.65


# Sharpening


class Watched(ConditionalVAE):
    """Remembers its encoder and pictures from before the sharpening."""

    def _drawn(self, *arguments: Any) -> Any:
        self.encoder_before = self.autoencoder_.encoder.get_weights()
        self.decoder_before = self.autoencoder_.decoder.get_weights()
        return super()._drawn(*arguments)


def test_sharpening_changes_the_decoder_alone(photos: np.ndarray) -> None:
    rows = np.arange(len(photos))
    vectors = np.random.default_rng(0).normal(size=(len(photos), 4)).astype(np.float32)
    pairs = Pairs(vectors, rows, rows, np.ones(len(photos)))
    shares = {"refinement_share": 0.1, "sharpening_share": 0.2}
    config = small_config("gaussian", size=SIZE, perceptual_weight=0.1, **shares)
    model = Watched(config).fit(photos, pairs, Budget(steps=20), progress=False)
    assert model.n_steps_ == {"autoencoder": 4, "refinement": 2, "prior": 10, "sharpening": 4}
    assert all(map(np.array_equal, model.autoencoder_.encoder.get_weights(), model.encoder_before))
    decoder = model.autoencoder_.decoder.get_weights()
    assert not any(map(np.array_equal, decoder, model.decoder_before))
    log = model.history_["sharpening"]
    assert {"decoder", "discriminator", "adversarial", "perceptual"} <= set(log.columns)
    assert "perceptual" in model.history_["autoencoder"].columns


def test_a_refinement_trains_both_networks_from_where_they_are(photos: np.ndarray) -> None:
    config = small_config("gaussian", size=SIZE, learning_rate=1e-3, perceptual_weight=0.1)
    autoencoder, trainer = Autoencoder(config, seed=0), Trainer(seed=0, progress=False)
    autoencoder.fit(photos, trainer, Budget(steps=5))
    networks = autoencoder.encoder, autoencoder.decoder
    before = [weights for network in networks for weights in network.get_weights()]
    log = autoencoder.refine(photos, trainer, Budget(steps=1))
    after = [weights for network in networks for weights in network.get_weights()]
    # A first step of Adam changes a weight by its learning rate, here a hundredth of half.
    changes = [float(np.abs(a - b).max()) for a, b in zip(after, before, strict=True)]
    assert all(0 < change < 6e-6 for change in changes)
    assert len(log) == 1


def test_shares_that_leave_nothing_for_the_autoencoder_are_refused() -> None:
    with pytest.raises(ValueError, match="prior_share and sharpening_share together are 1"):
        ImageryConfig(prior_share=0.5, sharpening_share=0.5)


@pytest.mark.parametrize(
    "left_on", [{"sharpening_share": 0}, {"perceptual_weight": 0, "refinement_share": 0}]
)
def test_pictures_too_small_to_be_seen_are_refused(left_on: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"size = 16 .* in pictures of less than 32 pixels; set"):
        ImageryConfig(size=16, **left_on)
    off = {"perceptual_weight": 0, "refinement_share": 0, "sharpening_share": 0}
    assert ImageryConfig(size=16, **off).size == 16


def test_nothing_is_refined_without_a_perceptual_distance() -> None:
    with pytest.raises(ValueError, match="give it a weight, or no share"):
        ImageryConfig(perceptual_weight=0)
