"""The evaluation of an image model in words, tables and pictures, for people to read.

All of it is plain text and arrays, so that it can be shown in any way. As a page::

    report = image_report(evaluation)
    sections = [ReportSection(**section) for section in report.sections]
    write_report("report.html", sections, title="…", note=report.note, summary=report.summary)
"""

from __future__ import annotations

from typing import NamedTuple

from prodgen_rec.evaluation.bootstrap import Interval
from prodgen_rec.evaluation.findings import ImageEvaluation, Photos
from prodgen_rec.evaluation.report_tables import (
    REAL,
    REBUILT,
    Section,
    agreement,
    drawn,
    memory,
    number,
    realism,
    share,
    suitability,
    variety,
)


class ImageReport(NamedTuple):
    """Parts of a page.

    Attributes
    ----------
    note
        Which pictures the summary is about, and the name of the judge.
    summary
        The figures that matter most, what it is to how much.
    sections
        In the order of the page: pictures, then tables.
    """

    note: str
    summary: dict[str, str]
    sections: list[Section]


def image_report(evaluation: ImageEvaluation) -> ImageReport:
    """Say what an evaluation found, each figure beside what real photos reach.

    Every term is explained in a sentence, for readers who know shops and not statistics.

    Parameters
    ----------
    evaluation
        Figures and pictures; what it lacks is left out.
    """
    tables = [realism(evaluation), suitability(evaluation)]
    if evaluation.agreement is not None:
        tables.append(agreement(evaluation.agreement))
    tables += [variety(evaluation), memory(evaluation)]
    return ImageReport(_note(evaluation), _summary(evaluation), [*_photos(evaluation), *tables])


def _note(evaluation: ImageEvaluation) -> str:
    only = len(evaluation.drawn) == 1
    which = "" if only else f", of {len(evaluation.drawn)} ways the one nearest to real photos"
    return (
        f"The figures at the top are of pictures drawn with {evaluation.headline}{which}. "
        f"Judge of all figures: {evaluation.judge}."
    )


def _summary(evaluation: ImageEvaluation) -> dict[str, str]:
    best = evaluation.drawn[evaluation.headline]
    fidelity, match = best.fidelity, best.match.mean
    floor = number(fidelity.kernel_floor.value, 0)
    covered = share(fidelity.among_floor.coverage)
    return {
        f"Kernel distance × 1000 ({_ends(fidelity.kernel, 0)}); real photos {floor}": number(
            fidelity.kernel.value, 0
        ),
        f"Coverage; real photos {covered}": share(fidelity.among.coverage),
        f"Match AUC ({_ends(match, 3)}); chance 0.5": number(match.value, 3),
        "Nearer to a training photo than new photos; 50 % if alike": share(
            fidelity.memory.share_nearer
        ),
    }


def _photos(evaluation: ImageEvaluation) -> list[Section]:
    rebuilt = {} if evaluation.rebuilt is None else {REBUILT: evaluation.rebuilt}
    pairs: dict[str, Photos] = {}
    for way, one in evaluation.drawn.items():
        pairs |= {drawn(way): one.images, f"Most like these, {way}": one.nearest}
    return [
        Section(
            heading="What the model draws",
            note="Pictures for different shoppers, and under each the photo that the judge finds "
            "most like it, of all that the model learned from. They should be alike in kind and "
            "not the same.",
            pictures=pairs,
            made=[drawn(way) for way in evaluation.drawn],
        ),
        Section(
            heading="What it can keep of a photo",
            note="Photos that the model never saw, and what is left of each when it has gone "
            "through the model: about the most detail that its own pictures can have."
            if rebuilt
            else "Photos that the model never saw, to compare with.",
            pictures={REAL: evaluation.photos} | rebuilt,
            made=[*rebuilt],
        ),
    ]


def _ends(one: Interval, digits: int) -> str:
    return f"{number(one.low, digits)} to {number(one.high, digits)}"
