"""The conditional variational autoencoder that decodes preference vectors into pictures.

Trained on the evidence bound log p(x | c) ≥ E_q[log p(x | z)] − KL(q(z | x) ‖ p(z | c)) in
two phases that share the latent space: the encoder q(z | x) and decoder p(x | z) first, with
a weak pull towards N(0, 1), then the conditional prior p(z | c) on the encoder's latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.errors import InputError
from prodgen_rec.hashing import fingerprint
from prodgen_rec.imagery.autoencoder import Autoencoder
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.condition import Vectors, finite_rows
from prodgen_rec.imagery.config import ImageryConfig
from prodgen_rec.imagery.model import Floats, ImageModel, Photos
from prodgen_rec.imagery.networks import flops
from prodgen_rec.imagery.pairs import Pairs
from prodgen_rec.imagery.priors import ConditionalPrior
from prodgen_rec.imagery.runtime import spread
from prodgen_rec.imagery.training import Trainer
from prodgen_rec.vocabulary import Codes

_N_DRAWN = 20_000
"""Latents on which the decoder is sharpened."""


class ConditionalVAE(ImageModel):
    """Encoder, decoder and conditional prior; see `ImageModel` for what all models share."""

    config_class = ImageryConfig
    config: ImageryConfig
    autoencoder_: Autoencoder
    prior_: ConditionalPrior

    def sample(
        self,
        vectors: Vectors,
        noise: Floats,
        *,
        guidance: float = 1.0,
        codes: Codes | None = None,
        exemplars: Floats | None = None,
        likeness: float | None = None,
    ) -> Photos:
        """Pictures uint8 (n, size, size, 3): `sample_latents`, decoded; see `ImageModel.sample`."""
        latents = self.sample_latents(
            vectors, noise, guidance=guidance, codes=codes, exemplars=exemplars, likeness=likeness
        )
        return self.decode(latents)

    def sample_latents(
        self,
        vectors: Vectors,
        noise: Floats,
        *,
        guidance: float = 1.0,
        codes: Codes | None = None,
        exemplars: Floats | None = None,
        likeness: float | None = None,
    ) -> Floats:
        """Latents for preference vectors, which `decode` turns into pictures.

        Parameters
        ----------
        vectors
            float32 (n, d), as the recommender gives them; a zero row means "no preference".
        noise
            float32 (n, latent_size), standard normal.
        guidance
            0 ignores the vectors, 1 follows them, more exaggerates them.
        codes
            int (n, n_attributes), attributes that the products shall have, as ``vocabulary_``
            gives them; -1, like None, leaves one open.
        exemplars
            float32 (n, latent_size), latents of photos that the pictures shall be like; see
            `prodgen_rec.imagery.Exemplars`. None draws from noise alone.
        likeness
            How much, from 0, not at all, to 1, the very photos; by default what
            ``config.likeness`` says.

        Returns
        -------
        float32 (n, latent_size). A row depends on its own vector and noise alone, to the
        last bit.

        Raises
        ------
        InputError
            The arrays have other shapes, or hold NaN or infinity; names the row. Or a number is
            out of range.
        """
        preferences, noise = self._conditions(vectors, noise, guidance)
        codes = self.vocabulary_.checked(codes, len(noise))
        likeness = self.config.likeness if likeness is None else likeness
        if not 0 <= likeness <= 1:
            raise InputError(f"likeness = {likeness}: expected 0 to 1")
        if exemplars is not None:
            exemplars = finite_rows(exemplars, self.latent_size, "exemplars")
            if len(exemplars) != len(noise):
                raise InputError(
                    f"{len(exemplars)} exemplars came with noise for {len(noise)} pictures"
                )
        return self.prior_.sample(
            preferences, codes, noise, guidance, exemplars=exemplars, likeness=likeness
        )

    def decode(self, latents: Floats) -> Photos:
        """Pictures uint8 (n, size, size, 3) of latents float32 (n, latent_size)."""
        self._check_fitted()
        return self.autoencoder_.decode(finite_rows(latents, self.latent_size, "latents"))

    def encode(self, photos: Photos) -> Floats:
        """Mean latents float32 (n, latent_size) of pictures uint8 (n, size, size, 3)."""
        self._check_fitted()
        self._check_photos(photos)
        return self.autoencoder_.moments(photos)[:, : self.latent_size]

    def flops(self) -> dict[str, int]:
        """Floating point operations of one picture, of ``prior`` and ``decoder``."""
        self._check_fitted()
        return {"prior": self.prior_.flops, "decoder": flops(self.autoencoder_.decoder)}

    def _build(self) -> None:
        self.autoencoder_ = Autoencoder(self.config, seed=self.seed)
        self.prior_ = ConditionalPrior(
            self.config, self.whitening_.size + 1, self.vocabulary_.sizes, seed=self.seed
        )

    def _train(
        self, photos: Photos, pairs: Pairs, trainer: Trainer, budget: Budget
    ) -> dict[str, pd.DataFrame]:
        config, autoencoder = self.config, self.autoencoder_
        preferences = self.whitening_.conditions(pairs.vectors)
        known = pairs.attributes
        codes = self.vocabulary_.checked(None if known is None else known.codes, len(photos))

        photos_hash = fingerprint(photos)

        def at(phase: str) -> Trainer:
            return trainer.on(self._fingerprint(phase, photos_hash, pairs))

        logs = {
            "autoencoder": autoencoder.fit(
                photos, at("autoencoder"), budget.share(config.first_share)
            )
        }
        if config.refinement_share:
            logs["refinement"] = autoencoder.refine(
                photos, at("refinement"), budget.share(config.refinement_share)
            )
        shown = spread(len(pairs))

        def pictures() -> Photos:
            noise = np.random.default_rng(self.seed).standard_normal(
                (len(shown), self.latent_size), np.float32
            )
            some = preferences[pairs.vector_rows[shown]]
            unsaid = self.vocabulary_.checked(None, len(shown))
            latents = self.prior_.sample(some, unsaid, noise, 1.0)
            return np.stack([photos[pairs.photo_rows[shown]], autoencoder.decode(latents)])

        logs["prior"] = self.prior_.fit(
            autoencoder.moments(photos),
            preferences,
            codes,
            pairs,
            at("prior"),
            budget.share(config.prior_share),
            pictures=pictures,
        )
        if config.sharpening_share:
            drawn = self._drawn(photos, preferences, pairs)
            logs["sharpening"] = autoencoder.sharpen(
                photos, drawn, at("sharpening"), budget.share(config.sharpening_share)
            )
        return logs

    def _fingerprint(self, phase: str, photos_hash: str, pairs: Pairs) -> str:
        """What a phase is trained on: a phase for which nothing has changed is not trained again.

        Of what was trained before it takes the weights, which a checkpoint gives back to the bit
        on any machine, while latents may differ in the last.
        """
        before = {
            "autoencoder": [],
            "refinement": ["encoder", "decoder"],
            "prior": ["encoder"],
            "sharpening": list(self._networks()),
        }[phase]
        weights = [w for name in before for w in self._networks()[name].get_weights()]
        paired = pairs.arrays() if phase in ("prior", "sharpening") else []
        origin = self._origin(self.config.of_phase(phase))
        return fingerprint(origin, photos_hash, *paired, *weights)

    def _drawn(self, photos: Photos, preferences: Vectors, pairs: Pairs) -> Floats:
        """Latents as the prior draws them for users, some of them unknown.

        What a user took stands for the exemplars that the user will get.
        """
        rng = np.random.default_rng(self.seed)
        shares = pairs.weights / pairs.weights.sum()
        index = rng.choice(len(shares), _N_DRAWN, p=shares)
        shown = rng.random((_N_DRAWN, 1)) >= self.config.condition_dropout
        asked = (preferences[pairs.vector_rows[index]] * shown).astype(np.float32)
        codes = self.vocabulary_.checked(None, _N_DRAWN)
        noise = rng.standard_normal((_N_DRAWN, self.latent_size), np.float32)
        exemplars = self.autoencoder_.moments(photos)[pairs.photo_rows[index], : self.latent_size]
        strengths = np.array_split(np.arange(_N_DRAWN), 2)
        return np.concatenate(
            [
                self.prior_.sample(
                    asked[rows],
                    codes[rows],
                    noise[rows],
                    guidance,
                    exemplars=exemplars[rows],
                    likeness=self.config.likeness,
                )
                for rows, guidance in zip(strengths, (1.0, self.config.guidance), strict=True)
            ]
        )

    def _networks(self) -> Mapping[str, Any]:
        return {
            "encoder": self.autoencoder_.encoder,
            "decoder": self.autoencoder_.decoder,
            **self.prior_.prior.networks,
        }

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        scales = {
            "latent_mean": self.prior_.latent_mean,
            "latent_scale": self.prior_.latent_scale,
        }
        return super()._arrays() | scales

    def _set_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        super()._set_arrays(arrays)
        self.prior_.latent_mean = arrays["latent_mean"]
        self.prior_.latent_scale = arrays["latent_scale"]
