"""A bundle that is ready to serve users, in this process or in those of a cluster."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from prodgen_rec.bundle import ABOUT
from prodgen_rec.errors import BundleError, ConfigError, MissingExtraError
from prodgen_rec.imagery.encoding import PictureEncoder
from prodgen_rec.nightly.making import Maker
from prodgen_rec.nightly.offer import Offer
from prodgen_rec.nightly.recipe import Recipe
from prodgen_rec.nightly.sharing import sharing_of
from prodgen_rec.personalizer import Personalizer
from prodgen_rec.storage import sha256, standing_folder

if TYPE_CHECKING:
    from prodgen_rec.imagery.kernels import Kernel, Kind

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Studio:
    """A bundle and what serves users from it; the networks are started when first needed.

    Parameters
    ----------
    bundle
        Folder that `Personalizer.save` wrote.
    recipe
        How users are served.
    kind
        What computes the pictures, see `kernel_of`; ``auto`` takes the fastest one here.
    offer
        What lists may name, and what is known of users.

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
    kind: Kind | Literal["auto"] = "auto"
    offer: Offer = field(default_factory=Offer)
    personalizer: Personalizer = field(init=False)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        before = _fingerprint(self.bundle)
        self.personalizer = Personalizer.load(self.bundle)
        self.fingerprint = _fingerprint(self.bundle)
        if self.fingerprint != before:
            raise BundleError(f"{self.bundle} was replaced while it was being read; run again")

    def go_on_with(self, kernel: str) -> None:
        """Compute with what a run was begun with, where that is here; else nothing changes.

        Parameters
        ----------
        kernel
            As `kernel` named it.
        """
        kind, given = kernel.split(" ")[0], self.kind
        try:
            self.kind = cast("Kind", kind)
            self._kernel  # noqa: B018 (started, and so checked)
        except (ConfigError, MissingExtraError) as error:
            logger.warning("the run was begun with %s, which cannot be had: %s", kind, error)
            self.kind = given

    @cached_property
    def _kernel(self) -> Kernel:
        from prodgen_rec.imagery.kernels import kernel_of
        from prodgen_rec.imagery.runtime import one_thread_per_operation

        one_thread_per_operation()
        return kernel_of(self.personalizer.image_model_, self.kind)

    @cached_property
    def _encoder(self) -> PictureEncoder:
        return PictureEncoder(self.recipe.image_format, self.recipe.image_quality)

    @property
    def kernel(self) -> str:
        """What computes and encodes pictures."""
        return f"{self._kernel.name}, {self._encoder.name}"

    def maker(self, reference_time: datetime) -> Maker:
        """What serves users.

        Parameters
        ----------
        reference_time
            From which ages of events count.
        """
        personalizer = self.personalizer.drawing_with(self._kernel.model)
        maker = Maker(
            personalizer,
            self.recipe,
            reference_time,
            self.offer,
            sharing_of(self.recipe, personalizer, self.offer),
            self._encoder.encode,
        )
        maker.warm_up()
        return maker


def _fingerprint(bundle: Path) -> str:
    """SHA-256 of what says what lies there; of nothing where `Personalizer.load` will complain."""
    about = standing_folder(bundle) / ABOUT
    return sha256(about) if about.is_file() else ""
