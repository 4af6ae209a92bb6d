"""Kernels that take the place of the reference: as good as it, or refused."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from imagery_models import Prior, small_config, trained

from prodgen_rec.errors import ConfigError, MissingExtraError, NotFittedError
from prodgen_rec.imagery import Budget, ConditionalVAE, kernels
from prodgen_rec.imagery.attributes import PhotoAttributes, Vocabulary
from prodgen_rec.imagery.kernels import LEAST_PSNR, MOST_LEVELS, REFERENCE, Parity, kernel_of
from prodgen_rec.preferences.parallel import run_in_threads
from prodgen_rec.testing.images import planted_world, redness


def needs_openvino() -> None:
    if find_spec("openvino") is None:
        pytest.skip("the extra 'fast' is not installed")


@pytest.fixture(
    scope="module", params=[kind for kind in get_args(kernels.Kind) if kind != REFERENCE]
)
def kernel(request) -> kernels.Kernel:
    needs_openvino()
    try:
        return kernel_of(trained("flow"), request.param)
    except ConfigError as error:
        if "no bfloat16" not in str(error):
            raise
        pytest.skip("this processor has no bfloat16")


@pytest.fixture
def wishes() -> dict[str, np.ndarray]:
    rng, n = np.random.default_rng(1), 150
    model = trained("flow")
    return {
        "vectors": rng.normal(size=(n, 4)).astype(np.float32),
        "noise": rng.standard_normal((n, model.latent_size), np.float32),
        "exemplars": rng.standard_normal((n, model.latent_size), np.float32),
    }


def test_the_reference_is_the_model_itself(wishes):
    model = trained("flow")
    kernel = kernel_of(model)
    assert kernel.model is model
    assert kernel.name.startswith("tensorflow-float32 2.")
    latents = model.sample_latents(**wishes)
    assert np.array_equal(kernel.decode(latents), model.decode(latents))


def test_pictures_cannot_be_told_from_the_reference(kernel, wishes):
    model = trained("flow")
    made = kernel.model.sample(**wishes, guidance=2.0)
    parity = Parity.of(made, model.sample(**wishes, guidance=2.0))
    assert parity.psnr >= LEAST_PSNR
    assert parity.levels <= MOST_LEVELS
    assert len(np.unique(made)) > 100
    latents = kernel.model.sample_latents(**wishes, guidance=2.0)
    expected = model.sample_latents(**wishes, guidance=2.0)
    rounded = kernel.kind == "openvino-bf16-prior"  # numbers of about 1 to 8 bits
    np.testing.assert_allclose(latents, expected, rtol=0, atol=2**-6 if rounded else 1e-4)
    assert rounded == (np.abs(latents - expected).max() > 1e-4)


@pytest.mark.parametrize("prior", ["gaussian", "flow"])
def test_both_priors_can_be_compiled(prior: Prior, wishes):
    needs_openvino()
    model = trained(prior)
    served = kernel_of(model, "openvino-float32").model
    np.testing.assert_allclose(
        served.sample_latents(**wishes), model.sample_latents(**wishes), rtol=0, atol=1e-4
    )


def test_what_is_asked_for_reaches_the_prior(wishes):
    needs_openvino()
    photos, pairs = planted_world()
    words = pd.DataFrame({"color": np.where(redness(photos) > 0, "red", "blue")})
    vocabulary = Vocabulary.of(words, ["color"])
    pairs = replace(pairs, attributes=PhotoAttributes(vocabulary, vocabulary.codes(words)))
    model = ConditionalVAE(small_config("flow"), seed=3)
    model.fit(photos, pairs, Budget(steps=4), progress=False)
    rng = np.random.default_rng(0)
    for network in model.prior_.prior.networks.values():  # as if it had learned much
        network.set_weights([0.1 * rng.standard_normal(w.shape) for w in network.get_weights()])
    codes = np.arange(len(wishes["noise"]), dtype=np.int32)[:, None] % 3 - 1
    latents = model.sample_latents(**wishes, codes=codes)
    assert np.abs(latents - model.sample_latents(**wishes))[codes[:, 0] >= 0].max() > 1e-2
    served = kernel_of(model, "openvino-float32").model
    np.testing.assert_allclose(
        served.sample_latents(**wishes, codes=codes), latents, rtol=0, atol=1e-4
    )


def test_a_picture_depends_on_its_latent_alone(kernel, wishes):
    latents = kernel.model.sample_latents(**wishes)
    pictures = kernel.decode(latents)
    assert kernel.decode(latents[:0]).shape == (0, *pictures.shape[1:])
    order = np.random.default_rng(2).permutation(len(latents))[:71]
    assert np.array_equal(kernel.decode(latents[order]), pictures[order])
    some = {name: rows[order] for name, rows in wishes.items()}
    assert np.array_equal(kernel.model.sample_latents(**some), latents[order])


def test_many_threads_give_the_same_bits(kernel, wishes):
    latents = kernel.model.sample_latents(**wishes)
    pictures = kernel.decode(latents)
    with ThreadPoolExecutor(4) as pool:
        made = pool.map(lambda i: kernel.decode(latents[i:]), range(12))
    assert all(np.array_equal(one, pictures[i:]) for i, one in enumerate(made))
    inside: dict[int, np.ndarray] = {}
    run_in_threads(lambda i: inside.update({i: kernel.decode(latents[i:])}), range(12), 3)
    assert all(np.array_equal(inside[i], pictures[i:]) for i in range(12))


def test_a_kernel_whose_pictures_differ_is_refused(monkeypatch):
    """What goes into its decoder is a fifth too large."""
    needs_openvino()
    model = trained("flow")
    right = kernels._by_openvino

    def wrong(model: ConditionalVAE, *precisions: str) -> ConditionalVAE:
        served = right(model, *precisions)
        tile = served.autoencoder_.decode_tile
        served.autoencoder_.decode_tile = lambda latents: tile(latents * np.float32(1.2))
        return served

    monkeypatch.setattr(kernels, "_by_openvino", wrong)
    with pytest.raises(ConfigError, match=r"differ from the reference by up to \d+ levels"):
        kernel_of(model, "openvino-float32")
    found = kernels.calibrate(model)
    assert found.kernel.kind == REFERENCE
    assert set(found.rates) == {REFERENCE}
    assert "differ from the reference" in found.refused["openvino-float32"]


def test_the_fastest_that_passed_is_taken(monkeypatch):
    needs_openvino()
    rates = iter([50.0, 70.0, 60.0, 65.0])
    monkeypatch.setattr(kernels, "_rate", lambda model: next(rates))
    found = kernels.calibrate(trained("flow"))
    assert found.kernel.kind == "openvino-float32"
    assert found.rates["tensorflow-float32"] == 50.0


def test_calibration_measures_real_rates():
    found = kernels.calibrate(trained("flow"))
    assert found.rates[found.kernel.kind] == max(found.rates.values())
    assert set(found.rates) | set(found.refused) == set(get_args(kernels.Kind))
    assert kernel_of(trained("flow"), "auto").kind in found.rates


def test_parity_is_that_of_the_worst_picture():
    pictures = np.full((3, 2, 2, 3), 100, np.uint8)
    expected = pictures.copy()
    assert Parity.of(pictures, expected) == (np.inf, 0)
    expected[1, 0, 0, 0] = 112
    psnr, levels = Parity.of(pictures, expected)
    assert levels == 12
    assert psnr == pytest.approx(10 * np.log10(255**2 / (144 / 12)))
    assert not Parity(psnr, levels).holds
    assert Parity(LEAST_PSNR, MOST_LEVELS).holds
    assert not Parity(LEAST_PSNR, MOST_LEVELS + 1).holds


def test_without_the_extra_the_reference_serves(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'prodgen-rec\[fast\]'"):
        kernel_of(trained("flow"), "openvino-bf16")
    assert kernel_of(trained("flow"), "auto").kind == REFERENCE


def test_openvino_reports_nothing_to_anybody():
    needs_openvino()
    program = (
        "import sys; from prodgen_rec.imagery import kernels; kernels._openvino(); "
        "sys.exit(sys.modules['openvino_telemetry'] is not None)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_other_kinds_and_untrained_models_are_refused():
    with pytest.raises(ConfigError, match="kernel 'openvino-int8': expected 'auto' or one of"):
        kernel_of(trained("flow"), "openvino-int8")
    with pytest.raises(NotFittedError):
        kernel_of(ConditionalVAE(), "auto")


def test_weights_that_change_later_do_not_reach_a_kernel(tmp_path, wishes):
    needs_openvino()
    trained("flow").save(tmp_path)
    model = ConditionalVAE.load(tmp_path)
    served = kernel_of(model, "openvino-float32")
    latents = model.sample_latents(**wishes)
    before = served.decode(latents)
    for network in (model.autoencoder_.decoder, model.prior_.prior.velocity):
        network.set_weights([0 * weight for weight in network.get_weights()])
    assert len(np.unique(model.decode(latents))) == 1
    assert np.array_equal(served.decode(latents), before)
    assert np.abs(served.model.sample_latents(**wishes) - latents).max() < 1e-4
