"""What an evaluation of an image model found, gathered for a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.errors import InputError
from prodgen_rec.evaluation.bootstrap import Interval
from prodgen_rec.evaluation.fidelity import Diversity, FidelityReport
from prodgen_rec.evaluation.personalization import MatchAUC

Photos = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class DrawnPictures:
    """Pictures that were drawn in one way, such as with one guidance, and what was found.

    Parameters
    ----------
    fidelity, match, diversity
        Figures of all of them.
    images
        Some of them to look at, uint8 (n, size, size, 3).
    nearest
        The training photo that is nearest to each of these, of the same shape; see
        `prodgen_rec.evaluation.fidelity.nearest_photos`.
    """

    fidelity: FidelityReport
    match: MatchAUC
    diversity: Diversity
    images: Photos
    nearest: Photos


@dataclass(frozen=True, eq=False)
class ImageEvaluation:
    """What an evaluation of an image model found.

    Parameters
    ----------
    drawn
        Way of drawing, such as ``guidance 2``, to its pictures. All under one judge, and with
        as many pictures.
    real
        Match AUC of real pictures, as `prodgen_rec.evaluation.personalization.brackets` gives it.
    photos
        Some photos that the model never saw, uint8 (n, size, size, 3).
    rebuilt
        The same photos through the model, of the same shape, where it can do that.
    rebuilt_kernel, unknown_kernel
        Kernel distances of rebuilt photos, and of pictures for nobody in particular.
    real_diversity
        Diversity of real pictures, such as photos of what is recommended to each user.
    agreement
        A table of `prodgen_rec.evaluation.agreement.attribute_agreement`.

    Raises
    ------
    InputError
        Nothing was drawn, or figures have different judges or numbers of pictures.
    """

    drawn: Mapping[str, DrawnPictures]
    real: Mapping[str, MatchAUC]
    photos: Photos
    rebuilt: Photos | None = None
    rebuilt_kernel: Interval | None = None
    unknown_kernel: Interval | None = None
    real_diversity: Diversity | None = None
    agreement: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        if not self.drawn:
            raise InputError("an evaluation of no pictures; pass at least one way of drawing")
        judges = {one.judge for one in (*self._matches, *self.real.values())}
        if len(judges) > 1:
            raise InputError(
                f"the figures have {len(judges)} judges: {', '.join(sorted(judges))}; figures can "
                "be compared under one judge alone"
            )
        numbers = {way: one.fidelity.n for way, one in self.drawn.items()}
        if len(set(numbers.values())) > 1:
            raise InputError(
                f"numbers of pictures that were compared: {numbers}; Fréchet distance, density and "
                "coverage depend on it, so judge as many of each"
            )

    @property
    def judge(self) -> str:
        """Name of the judge."""
        return self._matches[0].judge

    @property
    def headline(self) -> str:
        """The way of drawing with the least kernel distance."""
        return min(self.drawn, key=lambda way: self.drawn[way].fidelity.kernel.value)

    @property
    def _matches(self) -> list[MatchAUC]:
        return [one.match for one in self.drawn.values()]
