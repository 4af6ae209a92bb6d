"""What every image model is: it learns from photos and pairs, makes pictures, and can be saved.

An image model is conditioned on preference vectors, or ignores them (a baseline may). All
randomness of a picture is in the noise that it is given.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from prodgen_rec.errors import BundleCorruptError, BundleError, InputError, NotFittedError
from prodgen_rec.hashing import fingerprint
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.condition import Vectors, Whitening, finite_rows
from prodgen_rec.imagery.config import ImageModelConfig
from prodgen_rec.imagery.pairs import Pairs
from prodgen_rec.imagery.replicas import strategy
from prodgen_rec.imagery.saved import ImageModelAbout, SavedImageModel
from prodgen_rec.imagery.training import Trainer
from prodgen_rec.vocabulary import Vocabulary

Photos = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class ImageModel(ABC):
    """Base of every image model.

    A subclass names the class of its settings, which have a ``latent_size`` besides, and
    implements what is abstract here. It must pass `prodgen_rec.testing.check_image_model`.

    Parameters
    ----------
    config
        Settings; the defaults of the subclass where None.
    seed
        Seed of the initial weights, the batches and the noise of training.

    Attributes
    ----------
    history_
        Training log of each phase, see `Trainer.run`; empty in a model that was loaded.
    n_steps_
        Steps that each phase was trained.
    vocabulary_
        Attributes that the pictures of a `ConditionalVAE` can be asked to have.
    """

    config_class: ClassVar[type[ImageModelConfig]]
    conditional: ClassVar[bool] = True
    """Whether pictures follow the vectors."""
    config: Any
    whitening_: Whitening
    vocabulary_: Vocabulary
    n_steps_: dict[str, int]

    def __init__(self, config: Any = None, *, seed: int = 0) -> None:
        self.config = config or self.config_class()
        self.seed = seed
        self.history_: dict[str, pd.DataFrame] = {}

    @property
    def latent_size(self) -> int:
        """Numbers in the noise of one picture."""
        return int(self.config.latent_size)

    @abstractmethod
    def _build(self) -> None:
        """Make untrained networks for conditions by ``whitening_``."""

    @abstractmethod
    def _train(
        self, photos: Photos, pairs: Pairs, trainer: Trainer, budget: Budget
    ) -> dict[str, pd.DataFrame]:
        """Train what was built, and return the log of each phase."""

    @abstractmethod
    def _networks(self) -> Mapping[str, keras.Model]:
        """Networks to save, by name."""

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What else to save, by name."""
        return {
            "whitening_mean": self.whitening_.mean,
            "whitening_matrix": self.whitening_.matrix,
        }

    def _set_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `_arrays` gave."""
        self.whitening_ = Whitening(arrays["whitening_mean"], arrays["whitening_matrix"])

    def fit(
        self,
        photos: Photos,
        pairs: Pairs,
        budget: Budget,
        *,
        checkpoint_folder: Path | str | None = None,
        progress: bool = True,
    ) -> Self:
        """Train on photos and on pairs of a preference vector and a photo.

        Parameters
        ----------
        photos
            uint8 (n_photos, size, size, 3); may be a memory map.
        pairs
            What the pictures of a preference are learned from.
        budget
            For all phases together.
        checkpoint_folder
            Where to keep checkpoints, logs, curves and what TensorBoard reads, if that is
            installed. If it holds those of an interrupted run with the same data and settings,
            training goes on from there.
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
        KeyboardInterrupt
            On Ctrl-C or SIGTERM; the state is in the checkpoint folder.
        """
        self._check_photos(photos)
        pairs.check_photo_rows(len(photos))
        trainer = Trainer(
            seed=self.seed,
            folder=None if checkpoint_folder is None else Path(checkpoint_folder),
            fingerprint=fingerprint(
                self._origin(self.config.of_training()), photos, *pairs.arrays()
            ),
            progress=progress,
        )
        # Trained aside, so that an interrupted training leaves no half-trained model behind.
        trained = copy.copy(self)
        trained.whitening_ = Whitening.fit(pairs.vectors, pairs.vector_weights())
        known = pairs.attributes
        trained.vocabulary_ = Vocabulary() if known is None else known.vocabulary
        with strategy().scope():
            trained._build()
            trained.history_ = trained._train(photos, pairs, trainer, budget)
        trained.n_steps_ = {
            name: int(log["step"].iloc[-1]) for name, log in trained.history_.items()
        }
        vars(self).update(vars(trained))
        return self

    @abstractmethod
    def sample(self, vectors: Vectors, noise: Floats, *, guidance: float = 1.0) -> Photos:
        """Pictures for preference vectors.

        Parameters
        ----------
        vectors
            float32 (n, d), as the recommender gives them; a zero row means "no preference".
        noise
            float32 (n, latent_size), standard normal.
        guidance
            0 ignores the vectors, 1 follows them, more exaggerates them where the model can.

        Returns
        -------
        uint8 (n, size, size, 3). A picture depends on its own vector and noise alone, to the
        last bit.

        Raises
        ------
        InputError
            The arrays have other shapes, or hold NaN or infinity; names the row.
        """

    def save(self, folder: Path | str) -> None:
        """Write ``image_model.json`` and ``image_model.npz`` into a folder, which may be new."""
        self._check_fitted()
        about = ImageModelAbout(
            kind=type(self).__name__,
            config=self.config.model_dump(),
            seed=self.seed,
            vector_size=self.whitening_.size,
            n_steps=self.n_steps_,
            attributes=dict(self.vocabulary_.values),
        )
        weights = {
            f"{name}_{i}": weight
            for name, network in self._networks().items()
            for i, weight in enumerate(network.get_weights())
        }
        SavedImageModel(about, weights | self._arrays()).save(Path(folder))

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        BundleError
            The folder holds another kind of model.
        BundleCorruptError
            A file is missing or damaged, or the weights do not fit the settings beside them.
        """
        return cls.restore(SavedImageModel.read(Path(folder)))

    @classmethod
    def restore(cls, saved: SavedImageModel) -> Self:
        """Build a model from what its files hold.

        Raises
        ------
        BundleError
            It is another kind of model.
        BundleCorruptError
            The weights do not fit the settings beside them.
        """
        about, arrays = saved.about, saved.arrays
        if about.kind != cls.__name__:
            raise BundleError(f"the saved image model is a {about.kind}, not a {cls.__name__}")
        try:
            model = cls(cls.config_class.model_validate(about.config), seed=about.seed)
            model.whitening_ = Whitening.identity(about.vector_size)
            model.vocabulary_ = Vocabulary(about.attributes)
            model.n_steps_ = about.n_steps
            model._build()
            for name, network in model._networks().items():
                n_weights = len(network.get_weights())
                network.set_weights([arrays[f"{name}_{i}"] for i in range(n_weights)])
            model._set_arrays(arrays)
        except (KeyError, ValueError, ValidationError) as error:
            raise BundleCorruptError(
                f"the image model's weights do not fit the settings beside them: {error}; fit again"
            ) from error
        return model

    def _conditions(
        self, vectors: Vectors, noise: Floats, guidance: float
    ) -> tuple[Vectors, Floats]:
        """What `sample` was given, checked: conditions (n, d + 1), and the noise."""
        self._check_fitted()
        if not 0 <= guidance < math.inf:
            raise InputError(f"guidance must be at least 0 and finite, got {guidance}")
        vectors = finite_rows(vectors, self.whitening_.size, "vectors")
        noise = finite_rows(noise, self.latent_size, "noise")
        if len(vectors) != len(noise):
            raise InputError(f"{len(vectors)} vectors came with noise for {len(noise)} pictures")
        return self.whitening_.conditions(vectors), noise

    def _examples(
        self, photos: Photos, pairs: Pairs
    ) -> tuple[
        Callable[[npt.NDArray[np.int64]], tuple[npt.NDArray[Any], ...]], npt.NDArray[np.float64]
    ]:
        """Rows of a batch, photos and conditions where they matter, and the weight of each."""
        if not self.conditional:
            return lambda index: (photos[index],), np.ones(len(photos))
        conditions = self.whitening_.conditions(pairs.vectors)

        def rows(index: npt.NDArray[np.int64]) -> tuple[Photos, Vectors]:
            return photos[pairs.photo_rows[index]], conditions[pairs.vector_rows[index]]

        return rows, pairs.weights

    def _origin(self, settings: str) -> str:
        """What a training depends on beside its data."""
        return f"{type(self).__name__} {settings} seed {self.seed}"

    def _check_photos(self, photos: npt.NDArray[Any]) -> None:
        expected = (self.config.size, self.config.size, 3)
        if photos.shape[1:] != expected or photos.dtype != np.uint8 or len(photos) == 0:
            raise InputError(
                f"photos must be uint8 of shape (n, {expected[0]}, {expected[1]}, 3) with n ≥ 1, "
                f"got {photos.dtype} {photos.shape}; read the catalogue with size={expected[0]}"
            )

    def _check_fitted(self) -> None:
        if not hasattr(self, "n_steps_"):
            name = type(self).__name__
            raise NotFittedError(f"this {name} is not fitted; call fit or load first")
