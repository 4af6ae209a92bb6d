from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from imagery_models import Shared, Small, SmallFlow, small_config, trained
from PIL import Image

from prodgen_rec.errors import BundleCorruptError, ConfigError, NotFittedError
from prodgen_rec.imagery import (
    DCGAN,
    Budget,
    ConditionalGAN,
    ConditionalVAE,
    GANConfig,
    ImageModel,
    ImageryConfig,
    Pairs,
    PlainCVAE,
    PlainVAE,
    PlainVAEConfig,
    Whitening,
)
from prodgen_rec.testing import check_image_model
from prodgen_rec.testing.images import planted_world


@pytest.mark.parametrize("model", [Small, SmallFlow])
def test_both_priors_keep_the_contract(model: type[Small]) -> None:
    check_image_model(model)


class SmallPlainVAE(PlainVAE):
    settings = PlainVAEConfig(
        size=16, width=8, latent_channels=1, condition_width=32, learning_rate=8e-3, batch_size=32
    )

    def __init__(self, config: Any = settings, *, seed: int = 3) -> None:
        super().__init__(config, seed=seed)


class SmallPlainCVAE(PlainCVAE, SmallPlainVAE):
    pass


class SmallDCGAN(DCGAN):
    settings = GANConfig(
        size=16,
        width=12,
        latent_channels=1,
        condition_width=32,
        condition_dropout=0.3,  # seldom shown, "no preference" is where it collapses
        learning_rate=2e-3,
        batch_size=32,
    )

    def __init__(self, config: Any = settings, *, seed: int = 3) -> None:
        super().__init__(config, seed=seed)


class SmallConditionalGAN(ConditionalGAN, SmallDCGAN):
    pass


@pytest.mark.parametrize(
    ("model", "n_steps"),
    [(SmallPlainVAE, 800), (SmallPlainCVAE, 500), (SmallDCGAN, 300), (SmallConditionalGAN, 400)],
)
def test_the_baselines_keep_the_contract(model: type[ImageModel], n_steps: int) -> None:
    check_image_model(model, n_steps=n_steps)


class IgnoresTheVectors(Shared):
    def sample_latents(
        self, vectors: Any, noise: Any, *, guidance: float = 1.0, **options: Any
    ) -> Any:
        return super().sample_latents(vectors, noise, guidance=0 * guidance, **options)


class TakesVectorsForTheirOpposite(Shared):
    def sample_latents(
        self, vectors: Any, noise: Any, *, guidance: float = 1.0, **options: Any
    ) -> Any:
        return super().sample_latents(-vectors, noise, guidance=guidance, **options)


class IgnoresTheNoise(Shared):
    def sample_latents(
        self, vectors: Any, noise: Any, *, guidance: float = 1.0, **options: Any
    ) -> Any:
        return super().sample_latents(vectors, 0 * noise, guidance=guidance, **options)


class CentresTheNoiseOfABatch(Shared):
    def sample_latents(
        self, vectors: Any, noise: Any, *, guidance: float = 1.0, **options: Any
    ) -> Any:
        centred = noise - noise.sum(axis=0) / max(1, len(noise))
        return super().sample_latents(vectors, centred, guidance=guidance, **options)


class NeverQuiteIgnores(Shared):
    def sample_latents(
        self, vectors: Any, noise: Any, *, guidance: float = 1.0, **options: Any
    ) -> Any:
        if guidance == 0:
            guidance = 1e-3
        return super().sample_latents(vectors, noise, guidance=guidance, **options)


class TakesTheZeroVectorForATaste(Shared):
    def sample_latents(
        self, vectors: Any, noise: Any, *, guidance: float = 1.0, **options: Any
    ) -> Any:
        return super().sample_latents(
            vectors + np.float32(1e-6), noise, guidance=guidance, **options
        )


class RepairsNaN(Shared):
    def sample_latents(
        self, vectors: Any, noise: Any, *, guidance: float = 1.0, **options: Any
    ) -> Any:
        return super().sample_latents(np.nan_to_num(vectors), noise, guidance=guidance, **options)


class DecodesToFloats(Shared):
    def decode(self, latents: Any) -> Any:
        return super().decode(latents).astype(np.float32)


class TakesAnyPhotos(Shared):
    def fit(self, *data: Any, **options: Any) -> Self:
        return self


class DiffersEveryTime(Shared):
    n_made = count()

    def __init__(self) -> None:
        super().__init__()
        self.shift = np.float32(next(self.n_made))

    def sample_latents(
        self, vectors: Any, noise: Any, *, guidance: float = 1.0, **options: Any
    ) -> Any:
        return super().sample_latents(vectors, noise + self.shift, guidance=guidance, **options)


class WorksUnfitted(Shared):
    def decode(self, latents: Any) -> Any:
        return super().decode(latents) if hasattr(self, "prior_") else np.zeros(1, np.uint8)


class ForgetsTheWhitening(Shared):
    @classmethod
    def load(cls, folder: Path) -> Self:
        model = super().load(folder)
        model.whitening_ = Whitening.identity(4)
        return model


class ForgetsItsSteps(Shared):
    @classmethod
    def load(cls, folder: Path) -> Self:
        model = super().load(folder)
        model.n_steps_ = {}
        return model


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (IgnoresTheVectors, r"\d\d% of the users get the color"),
        (TakesVectorsForTheirOpposite, r"\d% of the users get the color"),
        (IgnoresTheNoise, "150 noises of one user give only 1 different pictures"),
        (CentresTheNoiseOfABatch, "changes with the order or number of pictures"),
        (NeverQuiteIgnores, "with guidance 0 the vectors still matter"),
        (TakesTheZeroVectorForATaste, "zero vectors, that is no preference"),
        (RepairsNaN, "mentioning 'row 3', but nothing was raised"),
        (DecodesToFloats, "pictures are float32, not uint8"),
        (TakesAnyPhotos, "mentioning 'photos must be uint8', but nothing was raised"),
        (DiffersEveryTime, "two fits with the same seed"),
        (WorksUnfitted, "expected NotFittedError mentioning 'fit', but nothing was raised"),
        (ForgetsTheWhitening, "pictures after save and load are not those before"),
        (ForgetsItsSteps, "writes other files than it was loaded from"),
    ],
)
def test_a_planted_bug_is_found(broken: type[Shared], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_image_model(broken)


def test_a_checkpoint_of_other_data_or_settings_is_refused(tmp_path: Path) -> None:
    photos, pairs = planted_world()
    budget = Budget(steps=2)
    Small().fit(photos, pairs, budget, checkpoint_folder=tmp_path, progress=False)
    one_pixel = photos.copy()
    one_pixel[100, 3, 4, 1] += 1
    one_weight = replace(pairs, weights=pairs.weights + 1e-9 * (np.arange(len(photos)) == 100))
    others: list[tuple[str, Small, Any, Any]] = [
        ("autoencoder", Small(), one_pixel, pairs),
        ("autoencoder", Small(seed=4), photos, pairs),
        ("autoencoder", Small(small_config("gaussian", kl_weight=0.5)), photos, pairs),
        ("prior", Small(), photos, one_weight),
        ("prior", Small(small_config("flow")), photos, pairs),
    ]
    for phase, model, *data in others:
        with pytest.raises(ConfigError, match=rf"{phase}\.npz: .* other data or settings; delete"):
            model.fit(*data, budget, checkpoint_folder=tmp_path, progress=False)
        with pytest.raises(NotFittedError, match="call fit or load first"):
            model.encode(photos)  # a fit that failed is none


def test_what_did_not_change_is_not_trained_again(tmp_path: Path) -> None:
    photos, pairs = planted_world()

    def fit(config: ImageryConfig, some: Pairs) -> None:
        Small(config).fit(photos, some, Budget(steps=4), checkpoint_folder=tmp_path, progress=False)

    fit(small_config("gaussian"), pairs)
    first = (tmp_path / "autoencoder.csv").read_text()
    (tmp_path / "prior.npz").unlink()
    fit(small_config("flow"), replace(pairs, weights=pairs.weights[::-1]))
    assert (tmp_path / "autoencoder.csv").read_text() == first  # with the seconds it took
    prior = (tmp_path / "prior.csv").read_text()
    fit(small_config("flow", pool=3, sharpness=5.0), replace(pairs, weights=pairs.weights[::-1]))
    assert (tmp_path / "prior.csv").read_text() == prior


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    trained("gaussian").save(tmp_path)
    settings, arrays = tmp_path / "image_model.json", tmp_path / "image_model.npz"
    about, weights = settings.read_bytes(), arrays.read_bytes()
    for path, content, complaint in (
        (settings, b"{", "image_model.json: not readable as settings"),
        (settings, about.replace(b'"width": 8', b'"width": 16'), "weights do not fit the settings"),
        (arrays, weights[:-1000], "image_model.npz: not a readable array file"),
        (arrays, b"", "image_model.npz: not a readable array file"),
    ):
        settings.write_bytes(about)
        arrays.write_bytes(weights)
        path.write_bytes(content)
        with pytest.raises(BundleCorruptError, match=complaint):
            ConditionalVAE.load(tmp_path)
    settings.unlink()
    with pytest.raises(BundleCorruptError, match=r"image_model.json: not readable as settings"):
        ConditionalVAE.load(tmp_path)


def test_importing_the_checks_loads_no_tensorflow() -> None:
    code = "import sys, prodgen_rec.testing; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("model", "phases"),
    [
        (SmallFlow, {"autoencoder": 2, "prior": 2}),
        (SmallPlainCVAE, {"vae": 3}),
        (SmallConditionalGAN, {"adversarial": 2}),
    ],
)
def test_every_checkpoint_shows_how_far_it_is(
    model: type[ImageModel], phases: dict[str, int], tmp_path: Path
) -> None:
    """Photos in the first row, what was made of or for them below."""
    photos, pairs = planted_world()
    model().fit(photos, pairs, Budget(steps=4), checkpoint_folder=tmp_path, progress=False)
    for phase, n_rows in phases.items():
        (grid,) = tmp_path.glob(f"{phase}-*.png")
        assert grid.stem == f"{phase}-{4 // len(phases):06d}"
        pixels = np.asarray(Image.open(grid))
        assert pixels.shape == (16 * n_rows, 16 * 8, 3)
        shown = pixels[:16].reshape(16, 8, 16, 3).swapaxes(0, 1)
        assert np.array_equal(shown, photos[np.linspace(0, 255, 8).astype(int)])
