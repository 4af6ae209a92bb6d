"""The conditional variational autoencoder that decodes preference vectors into pictures.

Trained on the evidence bound log p(x | c) ≥ E_q[log p(x | z)] − KL(q(z | x) ‖ p(z | c)) in
two phases that share the latent space: the encoder q(z | x) and decoder p(x | z) first, with
a weak pull towards N(0, 1), then the conditional prior p(z | c) on the encoder's latents.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.errors import BundleCorruptError, InputError, NotFittedError
from prodgen_rec.imagery.autoencoder import Autoencoder, Floats, Photos
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.condition import Vectors, Whitening, finite_rows
from prodgen_rec.imagery.config import ImageryConfig
from prodgen_rec.imagery.pairs import Pairs
from prodgen_rec.imagery.priors import ConditionalPrior
from prodgen_rec.imagery.saved import ImageModelAbout, SavedImageModel
from prodgen_rec.imagery.training import Trainer


class ConditionalVAE:
    """Encoder, decoder and conditional prior.

    Parameters
    ----------
    config
        Settings.
    seed
        Seed of the initial weights, the batches and the noise of training.

    Attributes
    ----------
    history_
        Training log of each phase, see `Trainer.run`; empty in a model that was loaded.
    n_steps_
        Steps that each phase was trained.
    """

    def __init__(self, config: ImageryConfig | None = None, *, seed: int = 0) -> None:
        self.config = config or ImageryConfig()
        self.seed = seed
        self.history_: dict[str, pd.DataFrame] = {}

    def fit(
        self,
        photos: Photos,
        pairs: Pairs,
        budget: Budget,
        *,
        checkpoint_folder: Path | None = None,
        progress: bool = True,
    ) -> Self:
        """Train on photos and on pairs of a preference vector and a photo.

        Parameters
        ----------
        photos
            uint8 (n_photos, size, size, 3); may be a memory map.
        pairs
            What the prior learns from.
        budget
            For both phases together.
        checkpoint_folder
            Where to keep checkpoints and logs. If it holds those of an interrupted run with
            the same data and settings, training goes on from there.
        progress
            Show a progress bar on a terminal.

        Raises
        ------
        InputError
            The photos have another shape than the settings say, or a pair has no photo.
        ConfigError
            The checkpoint folder belongs to other data or settings.
        BundleCorruptError
            A checkpoint cannot be read.
        TrainingDivergedError
            The loss became NaN; the last good state is in the checkpoint folder.
        """
        self._check_photos(photos)
        pairs.check_photo_rows(len(photos))
        trainer = Trainer(
            seed=self.seed,
            folder=checkpoint_folder,
            fingerprint=self._fingerprint(photos, pairs),
            progress=progress,
        )
        share = self.config.prior_share
        autoencoder, prior = self._untrained(pairs.vectors.shape[1])
        log = autoencoder.fit(photos, trainer, budget.share(1 - share))
        prior_log = prior.fit(autoencoder.moments(photos), pairs, trainer, budget.share(share))
        # Only now, so that a training that was interrupted leaves no half-trained model behind.
        self.autoencoder_, self.prior_ = autoencoder, prior
        self.history_ = {"autoencoder": log, "prior": prior_log}
        self.n_steps_ = {name: int(log["step"].iloc[-1]) for name, log in self.history_.items()}
        return self

    def sample(self, vectors: Vectors, noise: Floats, *, guidance: float = 1.0) -> Photos:
        """Pictures for preference vectors: `sample_latents`, decoded.

        Returns uint8 (n, size, size, 3).
        """
        return self.decode(self.sample_latents(vectors, noise, guidance=guidance))

    def sample_latents(self, vectors: Vectors, noise: Floats, *, guidance: float = 1.0) -> Floats:
        """Latents for preference vectors.

        Parameters
        ----------
        vectors
            float32 (n, d), as the recommender gives them; a zero row means "no preference".
        noise
            float32 (n, latent_size), standard normal.
        guidance
            0 ignores the vectors, 1 follows them, more exaggerates them.

        Returns
        -------
        float32 (n, latent_size). A row depends on its own vector and noise alone, to the
        last bit.

        Raises
        ------
        InputError
            The arrays have other shapes, or hold NaN or infinity; names the row.
        """
        self._check_fitted()
        if not 0 <= guidance < math.inf:
            raise InputError(f"guidance must be at least 0 and finite, got {guidance}")
        vectors = finite_rows(vectors, len(self.prior_.whitening.mean), "vectors")
        noise = finite_rows(noise, self.latent_size, "noise")
        if len(vectors) != len(noise):
            raise InputError(f"{len(vectors)} vectors came with noise for {len(noise)} pictures")
        return self.prior_.sample(vectors, noise, guidance)

    def decode(self, latents: Floats) -> Photos:
        """Pictures uint8 (n, size, size, 3) of latents float32 (n, latent_size)."""
        self._check_fitted()
        return self.autoencoder_.decode(finite_rows(latents, self.latent_size, "latents"))

    def encode(self, photos: Photos) -> Floats:
        """Mean latents float32 (n, latent_size) of pictures uint8 (n, size, size, 3)."""
        self._check_fitted()
        self._check_photos(photos)
        return self.autoencoder_.moments(photos)[:, : self.latent_size]

    @property
    def latent_size(self) -> int:
        """Numbers in one latent, and so in the noise of one picture."""
        return self.config.latent_size

    def save(self, folder: Path) -> None:
        """Write ``image_model.json`` and ``image_model.npz`` into a folder."""
        self._check_fitted()
        about = ImageModelAbout(
            config=self.config,
            seed=self.seed,
            vector_size=len(self.prior_.whitening.mean),
            n_steps=self.n_steps_,
        )
        arrays = {
            f"{name}_{i}": weight
            for name, network in self._networks().items()
            for i, weight in enumerate(network.get_weights())
        }
        prior = self.prior_
        scales = {
            "whitening_mean": prior.whitening.mean,
            "whitening_matrix": prior.whitening.matrix,
            "latent_mean": prior.latent_mean,
            "latent_scale": prior.latent_scale,
        }
        SavedImageModel(about, arrays | scales).save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        BundleCorruptError
            A file is missing or damaged, or the weights do not fit the settings beside them.
        """
        return cls.restore(SavedImageModel.read(folder))

    @classmethod
    def restore(cls, saved: SavedImageModel) -> Self:
        """Build a model from what its files hold.

        Raises
        ------
        BundleCorruptError
            The weights do not fit the settings beside them.
        """
        about, arrays = saved.about, saved.arrays
        model = cls(about.config, seed=about.seed)
        model.n_steps_ = about.n_steps
        model.autoencoder_, model.prior_ = model._untrained(about.vector_size)
        try:
            for name, network in model._networks().items():
                n_weights = len(network.get_weights())
                network.set_weights([arrays[f"{name}_{i}"] for i in range(n_weights)])
            prior = model.prior_
            prior.whitening = Whitening(arrays["whitening_mean"], arrays["whitening_matrix"])
            prior.latent_mean, prior.latent_scale = arrays["latent_mean"], arrays["latent_scale"]
        except (KeyError, ValueError) as error:
            raise BundleCorruptError(
                f"the image model's weights do not fit the settings beside them: {error}; fit again"
            ) from error
        return model

    def _untrained(self, vector_size: int) -> tuple[Autoencoder, ConditionalPrior]:
        return (
            Autoencoder(self.config, seed=self.seed),
            ConditionalPrior(self.config, vector_size, seed=self.seed),
        )

    def _networks(self) -> dict[str, Any]:
        return {
            "encoder": self.autoencoder_.encoder,
            "decoder": self.autoencoder_.decoder,
            "prior": self.prior_.prior.network,
        }

    def _check_photos(self, photos: npt.NDArray[Any]) -> None:
        expected = (self.config.size, self.config.size, 3)
        if photos.shape[1:] != expected or photos.dtype != np.uint8 or len(photos) == 0:
            raise InputError(
                f"photos must be uint8 of shape (n, {expected[0]}, {expected[1]}, 3) with n ≥ 1, "
                f"got {photos.dtype} {photos.shape}; read the catalogue with size={expected[0]}"
            )

    def _check_fitted(self) -> None:
        if not hasattr(self, "prior_"):
            raise NotFittedError("this ConditionalVAE is not fitted; call fit or load first")

    def _fingerprint(self, photos: Photos, pairs: Pairs) -> str:
        digest = hashlib.sha256(self.config.model_dump_json().encode())
        digest.update(f"{self.seed} {photos.shape} ".encode())
        for start in range(0, len(photos), 1024):  # a memory map is never copied whole
            digest.update(photos[start : start + 1024].tobytes())
        for array in (pairs.vectors, pairs.vector_rows, pairs.photo_rows, pairs.weights):
            digest.update(array.tobytes())
        return digest.hexdigest()
