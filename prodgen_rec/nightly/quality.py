"""Figures of a run's rows, and the gate that a run must pass to be published.

Figures are whole numbers that add up over blocks and parts, so that a run that was killed and
resumed has the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from prodgen_rec.nightly.documents import PartRecord, counts_of

Figures = dict[str, Any]

EDGES = np.linspace(-0.5, 2.0, 126)
"""Scores are counted between these: 0 is what an unknown item has, 1 what a taken one."""
_FLAT = 2.0
"""Standard deviation, of 255, below which a picture shows nothing."""
_CLIPPED = 0.98
"""Share of black and white in all channels above which a picture is saturated."""
_EVERY = 4
"""Pixels that are looked at: one in so many of every row and column."""


class Gate(BaseModel):
    """What a run must not exceed to be published.

    Attributes
    ----------
    max_constant, max_saturated
        Share of pictures in one color, and of those that are black and white almost everywhere.
    min_users
        Users served, as a share of those of the published run.
    max_refused
        Share of users that were due and refused.
    max_cold
        Share of served users without a usable history: all of them are cold where a log's items
        are not those of the bundle.
    max_drift
        Largest distance between the distribution functions of scores of this run and the
        published one (Kolmogorov and Smirnov's statistic), 0 to 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_constant: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_saturated: Annotated[float, Field(ge=0, le=1)] = 0.05
    min_users: Annotated[float, Field(ge=0)] = 0.5
    max_refused: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_cold: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_drift: Annotated[float, Field(ge=0, le=1)] = 0.25

    def complaints(self, made: Summary, before: Summary | None) -> list[str]:
        """Why a run is not to be published; none where it may be."""
        return [
            f"{name} is {value:.3g}, {relation} {bound:g} is allowed (gate.{setting})"
            for name, value, relation, bound, setting in self._compared(made, before)
            if (value > bound if relation == "at most" else value < bound)
        ]

    def _compared(
        self, made: Summary, before: Summary | None
    ) -> Iterable[tuple[str, float, str, float, str]]:
        figures = made.figures
        n_pictures = max(figures["pictures"], 1)
        yield (
            "the share of pictures in one color",
            figures["constant"] / n_pictures,
            "at most",
            self.max_constant,
            "max_constant",
        )
        yield (
            "the share of pictures in black and white alone",
            figures["saturated"] / n_pictures,
            "at most",
            self.max_saturated,
            "max_saturated",
        )
        yield (
            "the share of refused users",
            (made.n_in - made.n_out) / max(made.n_in, 1),
            "at most",
            self.max_refused,
            "max_refused",
        )
        yield (
            "the share of users without a usable history",
            figures["cold"] / max(made.n_out, 1),
            "at most",
            self.max_cold,
            "max_cold",
        )
        if before is None:
            return
        yield (
            f"the number of users as a share of those of run {before.run_id}",
            made.n_out / max(before.n_out, 1),
            "at least",
            self.min_users,
            "min_users",
        )
        yield (
            f"the drift of scores since run {before.run_id}",
            drift(made.figures, before.figures),
            "at most",
            self.max_drift,
            "max_drift",
        )


@dataclass(frozen=True)
class Summary:
    """What the gate knows of a run."""

    run_id: str
    n_in: int
    n_out: int
    figures: Figures

    @classmethod
    def of(cls, run_id: str, parts: Iterable[PartRecord]) -> Summary | None:
        """That of the parts of a run; None where whoever made them recorded no such figures."""
        parts = list(parts)
        if not all("scores" in part.figures for part in parts):
            return None
        counts = counts_of(parts)
        return cls(run_id, counts.n_in, counts.n_out, added(part.figures for part in parts))


def of_pictures(images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], ...]:
    """Whether a picture is in one color, and whether in black and white alone, bool (n,) each."""
    some = images[:, ::_EVERY, ::_EVERY]
    some = some.reshape(len(some), math.prod(some.shape[1:]))
    numbers = some.astype(np.float64)  # sums of their squares are exact
    variance = np.vecdot(numbers, numbers) / some.shape[1] - numbers.mean(axis=1) ** 2
    clipped = ((some == 0) | (some == 255)).mean(axis=1) > _CLIPPED
    return variance < _FLAT**2, clipped


def of_scores(scores: npt.NDArray[np.float32]) -> list[int]:
    """How many scores are between each two edges; what is beyond counts at the end."""
    inside = np.clip(scores, EDGES[0], EDGES[-1])
    return [int(n) for n in np.histogram(inside, EDGES)[0]]


def added(figures: Iterable[Mapping[str, Any]]) -> Figures:
    """Sums of figures by name."""
    total: Figures = {}
    for one in figures:
        for name, value in one.items():
            before = total.get(name, [0] * len(value) if isinstance(value, list) else 0)
            total[name] = (
                [a + b for a, b in zip(before, value, strict=True)]
                if isinstance(value, list)
                else before + value
            )
    return total


def drift(made: Figures, before: Figures) -> float:
    """Largest distance between two distribution functions of scores; 0 where one has none."""
    counts = [np.asarray(one["scores"], np.float64) for one in (made, before)]
    if any(one.sum() == 0 for one in counts):
        return 0.0
    first, second = (np.cumsum(one) / one.sum() for one in counts)
    return float(np.abs(first - second).max())
