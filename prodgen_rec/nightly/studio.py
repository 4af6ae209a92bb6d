"""A bundle that is ready to serve users, in this process or in those of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from prodgen_rec.bundle import ABOUT
from prodgen_rec.errors import BundleError
from prodgen_rec.imagery.encoding import PictureEncoder
from prodgen_rec.nightly.making import Maker
from prodgen_rec.nightly.recipe import Recipe
from prodgen_rec.nightly.sharing import sharing_of
from prodgen_rec.personalizer import Personalizer
from prodgen_rec.storage import sha256, standing_folder

if TYPE_CHECKING:
    from prodgen_rec.imagery import ConditionalVAE


@dataclass(eq=False)
class Studio:
    """A bundle and what serves users from it; the networks are started when first needed.

    Parameters
    ----------
    bundle
        Folder that `Personalizer.save` wrote.
    recipe
        How users are served.

    Attributes
    ----------
    personalizer
        That lies there.
    fingerprint
        SHA-256 of what says what lies there.

    Raises
    ------
    BundleError
        It cannot be used.
    """

    bundle: Path
    recipe: Recipe
    personalizer: Personalizer = field(init=False)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        before = _fingerprint(self.bundle)
        self.personalizer = Personalizer.load(self.bundle)
        self.fingerprint = _fingerprint(self.bundle)
        if self.fingerprint != before:
            raise BundleError(f"{self.bundle} was replaced while it was being read; run again")

    @cached_property
    def _drawing(self) -> tuple[str, ConditionalVAE]:
        """Name of what computes the pictures, and the image model that it computes."""
        from prodgen_rec.imagery.runtime import one_thread_per_operation

        one_thread_per_operation()
        return f"tensorflow-float32 {version('tensorflow')}", self.personalizer.image_model_

    @cached_property
    def _encoder(self) -> PictureEncoder:
        return PictureEncoder(self.recipe.image_format, self.recipe.image_quality)

    @property
    def kernel(self) -> str:
        """What computes and encodes pictures."""
        return f"{self._drawing[0]}, {self._encoder.name}"

    def maker(self, reference_time: datetime) -> Maker:
        """What serves users.

        Parameters
        ----------
        reference_time
            From which ages of events count.
        """
        personalizer = self.personalizer.drawing_with(self._drawing[1])
        sharing = sharing_of(self.recipe, personalizer)
        return Maker(personalizer, self.recipe, reference_time, sharing, self._encoder.encode)


def _fingerprint(bundle: Path) -> str:
    """SHA-256 of what says what lies there; of nothing where `Personalizer.load` will complain."""
    about = standing_folder(bundle) / ABOUT
    return sha256(about) if about.is_file() else ""
