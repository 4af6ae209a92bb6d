from __future__ import annotations

import ast
import inspect
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from prodgen_rec.imagery import networks
from prodgen_rec.imagery.networks import (
    build_decoder,
    build_encoder,
    build_flow_context,
    build_flow_velocity,
    build_gaussian_prior,
    flops,
    stages,
)
from prodgen_rec.imagery.priors import FlowPrior, GaussianPrior

N_BLOCKS = 1


def _all_networks() -> list[keras.Model]:
    return [
        build_encoder(32, 4, 2),
        build_decoder(32, 4, 2, N_BLOCKS),
        build_gaussian_prior(16, 5, 8),
        build_flow_context(5, 8, 2),
        build_flow_velocity(16, 8, 2),
    ]


def _with_random_weights(network: keras.Model) -> keras.Model:
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(0, 0.3, w.shape) for w in network.get_weights()])
    return network


def _inputs(network: keras.Model) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.random((2, *tensor.shape[1:])).astype(np.float32) for tensor in network.inputs]


def _run(network: keras.Model, inputs: list[np.ndarray]) -> np.ndarray:
    return np.asarray(network(inputs if len(inputs) > 1 else inputs[0]))


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_shapes(size: int) -> None:
    encoder = build_encoder(size, 4, 3)
    decoder = build_decoder(size, 4, 3, N_BLOCKS)
    photos = np.zeros((2, size, size, 3), np.float32)
    assert encoder(photos).shape == (2, 4, 4, 6)
    assert decoder(np.zeros((2, 4, 4, 3), np.float32)).shape == photos.shape
    assert [resolution for resolution, _ in stages(size, 4)][-1] == 4
    channels = [channels for _, channels in stages(size, 64)]
    assert channels == [min(64 * 2**k, 256) for k in range(len(channels))]


def test_the_decoder_puts_its_last_channels_into_blocks_of_two_by_two() -> None:
    decoder = build_decoder(16, 4, 2, 0)
    convolution = [layer for layer in decoder.layers if isinstance(layer, layers.Conv2D)][-1]
    before = keras.Model(decoder.input, convolution.output)
    z = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype(np.float32)
    cells, pictures = np.asarray(before(z)), np.asarray(decoder(z))
    for i in range(2):
        for j in range(2):
            channels = cells[..., 3 * (2 * i + j) : 3 * (2 * i + j) + 3]
            assert np.array_equal(pictures[:, i::2, j::2], channels)


def test_a_fresh_flow_stands_still_and_hears_every_input_once_trained() -> None:
    flow = build_flow_velocity(16, 8, 2)
    inputs = _inputs(flow)
    assert not _run(flow, inputs).any()
    velocity = _run(_with_random_weights(flow), inputs)
    for k in range(3):
        changed = [x + np.float32(0.1) * (i == k) for i, x in enumerate(inputs)]
        assert np.abs(_run(flow, changed) - velocity).max() > 1e-3


def test_flops_are_those_counted_by_hand() -> None:
    x = inputs = keras.Input((8, 6, 3))
    x = layers.Conv2D(5, 3, padding="same", strides=2)(x)
    x = layers.Dense(7)(layers.Flatten()(x))
    # 4 × 3 cells of 3 · 3 · 3 · 5 products, then 60 · 7; a product and a sum are two operations.
    assert flops(keras.Model(inputs, x)) == 2 * (12 * 135 + 420)


def test_a_latent_costs_features_per_condition_one_effect_and_every_step() -> None:
    flow = FlowPrior(latent_size=3, condition_size=5, width=4, depth=2, n_steps=7)
    features, effect = 5 * 4 + 4 * 4, 4 * (2 * 2 * 4)
    velocity = 3 * 4 + 2 * (2 * 4 * 4) + 4 * 3  # what the time does is the same for all rows
    assert flow.flops(3) == 2 * (3 * features + effect + 7 * velocity)
    gaussian = GaussianPrior(latent_size=3, condition_size=5, width=4)
    assert gaussian.flops(2) == 4 * (5 * 4 + 4 * 4 + 4 * 6)


def test_written_for_every_keras_backend() -> None:
    """Only layers that keras itself brings or this module registers, and no Lambda."""
    imports = [
        name.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(ast.parse(inspect.getsource(networks)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    ]
    assert {name.split(".")[0] for name in imports} <= {"__future__", "keras", "math", "typing"}
    for network in _all_networks():
        for layer in network.layers:
            assert type(layer).__module__.split(".")[0] in {"keras", "prodgen_rec"}
            assert not isinstance(layer, layers.Lambda)


def test_saved_and_loaded_in_safe_mode(tmp_path: Path) -> None:
    for network in map(_with_random_weights, _all_networks()):
        inputs = _inputs(network)
        network.save(tmp_path / "network.keras")
        loaded = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
        assert np.array_equal(_run(loaded, inputs), _run(network, inputs))
