"""Sections of a report on an image model that are tables: one question each, words explained."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import pandas as pd

from prodgen_rec.columns import ATTRIBUTE
from prodgen_rec.evaluation.bootstrap import Interval
from prodgen_rec.evaluation.fidelity import Coverage, Diversity
from prodgen_rec.evaluation.findings import ImageEvaluation, Photos
from prodgen_rec.evaluation.personalization import MatchAUC

Row = dict[str, str]

PICTURES = "Pictures"
"""The column that names the rows."""
REAL, REBUILT = "Real photos", "Rebuilt photos"
_UNKNOWN = "Drawn for nobody in particular"
_NOTHING = "–"


class Section(TypedDict, total=False):
    """Arguments of a `prodgen_rec.display.ReportSection`."""

    heading: str
    note: str
    table: list[Row]
    intervals: dict[str, tuple[float, float, float]]
    terms: dict[str, str]
    pictures: dict[str, Photos]
    made: list[str]


def realism(evaluation: ImageEvaluation) -> Section:
    """Kernel and Fréchet distances, density and coverage, beside those of real photos."""
    reports = {drawn(way): one.fidelity for way, one in evaluation.drawn.items()}
    alone = {_UNKNOWN: evaluation.unknown_kernel, REBUILT: evaluation.rebuilt_kernel}
    others = {name: kernel for name, kernel in alone.items() if kernel is not None}
    floor = next(iter(reports.values()))
    kernels = {name: one.kernel for name, one in reports.items()} | others
    return Section(
        heading="Do they look like real photos?",
        note="Pictures as a whole against photos that the model never saw. The last row puts real "
        "photos in their place: nothing can do better. Fréchet distance, density and coverage are "
        f"of {floor.n:,} pictures in each set.",
        table=[
            *(_realism_row(n, r.kernel, r.frechet, r.among) for n, r in reports.items()),
            *(_realism_row(name, kernel) for name, kernel in others.items()),
            _realism_row(REAL, floor.kernel_floor, floor.frechet_floor, floor.among_floor),
        ],
        intervals=_ends(kernels | {REAL: floor.kernel_floor}),
        terms={
            "Kernel distance × 1000": "How far the pictures as a whole are from real photos, and "
            "its 95 % interval; about 0 where the judge sees no difference.",
            "Fréchet distance": "Another measure of the same; it never comes down to 0 with a "
            "limited number of pictures, so what counts is the gap to the last row.",
            "Density": "Whether pictures lie where real photos lie: far below 1, many look like "
            "nothing in the shop; above 1, they keep to the most typical products.",
            "Coverage": "Share of the shop’s photos that have a drawn picture like them; where it "
            "is low, whole kinds of products are never drawn.",
        },
        made=[*kernels],
    )


def suitability(evaluation: ImageEvaluation) -> Section:
    """Match AUC for each way of drawing, beside that of real pictures."""
    made = {drawn(way): one.match for way, one in evaluation.drawn.items()}
    figures = made | {_bracket(name): one for name, one in evaluation.real.items()}
    return Section(
        heading="Do they suit the shopper?",
        note="Whether the pictures for a shopper look like what that shopper went on to take. The "
        "rows of real photos are the scale: popular products know nothing of the shopper, "
        "recommendations are what pictures reach that show them faithfully.",
        table=[_match_row(name, one) for name, one in figures.items()],
        intervals=_ends({name: one.mean for name, one in figures.items()}),
        terms={
            "Match AUC": "How often a shopper’s pictures are nearer to that shopper’s later "
            "purchases than to another shopper’s, and its 95 % interval; 0.5 is chance, 1 is "
            "never wrong.",
            "Exchanged": "Match AUC when every shopper gets the pictures of a random other one; "
            "near 0.5, or the measurement itself is at fault.",
            "p": "How often exchanged pictures match at least as well as the right ones; below "
            "0.05 the match is hardly luck.",
        },
        made=[*made],
    )


def agreement(table: pd.DataFrame) -> Section:
    """Share of pictures that show a value that their user prefers, beside chance."""
    rows = [
        {
            PICTURES: f"{row[ATTRIBUTE]}, {row['pictures']}",
            "Agree": f"{share(row['value'])} ({share(row['low'])} to {share(row['high'])})",
            "By chance": share(row["chance"]),
            "Shoppers": f"{row['n_users']:,}",
        }
        for row in table.to_dict("records")
    ]
    ends = table[["value", "low", "high"]].itertuples(index=False, name=None)
    return Section(
        heading="Do they show what the shopper likes?",
        note="What a picture shows, as a classifier tells it, against what its shopper prefers.",
        table=rows,
        intervals=dict(zip((row[PICTURES] for row in rows), ends, strict=True)),
        terms={
            "Agree": "Share of pictures that show a value that their shopper prefers, of each "
            "shopper’s first picture or of all, and its 95 % interval.",
            "By chance": "The share if the same pictures were dealt out at random.",
        },
        made=[row[PICTURES] for row in rows],
    )


def variety(evaluation: ImageEvaluation) -> Section:
    """Diversity within and between users."""
    made = {drawn(way): one.diversity for way, one in evaluation.drawn.items()}
    real = {} if evaluation.real_diversity is None else {REAL: evaluation.real_diversity}
    return Section(
        heading="Are they different from each other?",
        note="A model that draws the same again and again has small numbers in both columns; one "
        "that does not heed the shopper has the same number in both.",
        table=[_variety_row(name, one) for name, one in (made | real).items()],
        terms={
            "For one shopper": "How different two pictures for the same shopper are: 0 is the "
            "same, 1 has nothing in common.",
            "Between shoppers": "How different pictures for two shoppers are; the more it exceeds "
            "the first column, the more a picture depends on whom it is for.",
        },
        made=[*made],
    )


def memory(evaluation: ImageEvaluation) -> Section:
    """Distances to the nearest training photo, beside those of held-out photos."""
    found = {drawn(way): one.fidelity.memory for way, one in evaluation.drawn.items()}
    return Section(
        heading="Are they copies?",
        note="A model that learned photos by heart draws pictures that are nearer to them than new "
        "photos of the same shop are.",
        table=[
            {
                PICTURES: name,
                "To the nearest photo": f"{one.made:.2f}",
                "Of new photos": f"{one.held_out:.2f}",
                "Nearer": share(one.share_nearer),
                "p": f"{one.p_value:.3f}",
            }
            for name, one in found.items()
        ],
        terms={
            "To the nearest photo": "How far a typical picture is from the training photo that is "
            "most like it.",
            "Of new photos": "The same for photos that the model never saw.",
            "Nearer": "How often a picture is nearer to its photo than a new photo is to its own; "
            "50 % where both are alike, less where pictures keep away from all photos.",
            "p": "How likely pictures as near as these would be if they were no nearer than new "
            "photos; below 0.05, look for copies.",
        },
        made=[*found],
    )


def drawn(way: str) -> str:
    """Name of the pictures that were drawn in one way."""
    return f"Drawn, {way}"


def number(value: float, digits: int) -> str:
    """A number as people write it."""
    return f"{value:z,.{digits}f}".replace("-", "−")


def share(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.0f} %"


def _realism_row(
    name: str, kernel: Interval, frechet: float | None = None, among: Coverage | None = None
) -> Row:
    return {
        PICTURES: name,
        "Kernel distance × 1000": _with_ends(kernel, 0),
        "Fréchet distance": _NOTHING if frechet is None else number(frechet, 1),
        "Density": _NOTHING if among is None else number(among.density, 2),
        "Coverage": _NOTHING if among is None else share(among.coverage),
    }


def _match_row(name: str, match: MatchAUC) -> Row:
    return {
        PICTURES: name,
        "Match AUC": _with_ends(match.mean, 3),
        "Exchanged": number(match.permuted_mean, 3),
        "p": number(match.p_value, 3),
        "Shoppers": f"{match.mean.n:,}",
    }


def _variety_row(name: str, diversity: Diversity) -> Row:
    figures = {"For one shopper": diversity.within, "Between shoppers": diversity.between}
    texts = {key: number(x, 2) if np.isfinite(x) else _NOTHING for key, x in figures.items()}
    return {PICTURES: name} | texts


def _bracket(name: str) -> str:
    """What the real pictures of a bracket are."""
    kind, _, n = name.partition("@")
    if kind == "recommended":
        return "Real: first recommendation" if n == "1" else f"Real: first {n} recommendations"
    known = {"popular": "Real: popular products", "history": "Real: taken before"}
    return known.get(name, f"Real: {name}")


def _ends(figures: dict[str, Interval]) -> dict[str, tuple[float, float, float]]:
    return {name: (one.value, one.low, one.high) for name, one in figures.items()}


def _with_ends(one: Interval, digits: int) -> str:
    value, low, high = (number(x, digits) for x in (one.value, one.low, one.high))
    return f"{value} ({low} to {high})"
