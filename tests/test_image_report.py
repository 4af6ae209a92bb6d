"""What a report says of an image model, against the figures that it was given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pages import Page

from prodgen_rec.display import ReportSection, write_report
from prodgen_rec.errors import InputError
from prodgen_rec.evaluation.bootstrap import Interval
from prodgen_rec.evaluation.fidelity import (
    Coverage,
    Diversity,
    FidelityReport,
    Memorization,
    fidelity_report,
    nearest_photos,
)
from prodgen_rec.evaluation.findings import DrawnPictures, ImageEvaluation
from prodgen_rec.evaluation.personalization import MatchAUC
from prodgen_rec.evaluation.report import image_report

JUDGE = "a judge of the tests"


def match(value: float, judge: str = JUDGE) -> MatchAUC:
    mean = Interval(value, value - 0.01, value + 0.02, 1500)
    return MatchAUC(pd.Series([value]), mean, 0.501, 0.005, judge)


def pictures(n: int, level: int) -> np.ndarray:
    return np.full((n, 8, 8, 3), level, np.uint8)


def drawn(kernel: float, auc: float, *, n: int = 900) -> DrawnPictures:
    fidelity = FidelityReport(
        kernel=Interval(kernel, kernel - 10, kernel + 15, 2000),
        kernel_floor=Interval(-0.4, -2, 3, n),
        frechet=kernel + 0.5,
        frechet_floor=12.25,
        among=Coverage(0.81, 0.38),
        among_floor=Coverage(1.02, 0.98),
        memory=Memorization(7.5, 6.25, 0.42, 0.875),
        n=n,
    )
    return DrawnPictures(
        fidelity, match(auc), Diversity(0.5, 0.75), pictures(3, 90), pictures(3, 9)
    )


@pytest.fixture
def evaluation() -> ImageEvaluation:
    return ImageEvaluation(
        {"guidance 1": drawn(1346, 0.631), "guidance 2": drawn(273, 0.656)},
        {"popular": match(0.5), "recommended@1": match(0.632), "recommended@4": match(0.684)}
        | {"history": match(0.729)},
        photos=pictures(4, 200),
        rebuilt=pictures(4, 180),
        rebuilt_kernel=Interval(228, 214, 244, 900),
        unknown_kernel=Interval(417, 391, 441, 2000),
        real_diversity=Diversity(0.875, 1.0),
    )


def page(evaluation: ImageEvaluation, folder) -> Page:
    report = image_report(evaluation)
    sections = [ReportSection(**section) for section in report.sections]
    path = folder / "report.html"
    write_report(path, sections, title="t", note=report.note, summary=report.summary)
    return Page(path)


def test_every_figure_stands_in_its_row(evaluation, tmp_path):
    rows = page(evaluation, tmp_path).rows
    assert rows == [
        ["Pictures", "Kernel distance × 1000", "Fréchet distance", "Density", "Coverage"],
        ["Drawn, guidance 1", "1,346 (1,336 to 1,361)", "1,346.5", "0.81", "38 %"],
        ["Drawn, guidance 2", "273 (263 to 288)", "273.5", "0.81", "38 %"],
        ["Drawn for nobody in particular", "417 (391 to 441)", "–", "–", "–"],
        ["Rebuilt photos", "228 (214 to 244)", "–", "–", "–"],
        ["Real photos", "0 (−2 to 3)", "12.2", "1.02", "98 %"],
        ["Pictures", "Match AUC", "Exchanged", "p", "Shoppers"],
        ["Drawn, guidance 1", "0.631 (0.621 to 0.651)", "0.501", "0.005", "1,500"],
        ["Drawn, guidance 2", "0.656 (0.646 to 0.676)", "0.501", "0.005", "1,500"],
        ["Real: popular products", "0.500 (0.490 to 0.520)", "0.501", "0.005", "1,500"],
        ["Real: first recommendation", "0.632 (0.622 to 0.652)", "0.501", "0.005", "1,500"],
        ["Real: first 4 recommendations", "0.684 (0.674 to 0.704)", "0.501", "0.005", "1,500"],
        ["Real: taken before", "0.729 (0.719 to 0.749)", "0.501", "0.005", "1,500"],
        ["Pictures", "For one shopper", "Between shoppers"],
        ["Drawn, guidance 1", "0.50", "0.75"],
        ["Drawn, guidance 2", "0.50", "0.75"],
        ["Real photos", "0.88", "1.00"],
        ["Pictures", "To the nearest photo", "Of new photos", "Nearer", "p"],
        ["Drawn, guidance 1", "7.50", "6.25", "42 %", "0.875"],
        ["Drawn, guidance 2", "7.50", "6.25", "42 %", "0.875"],
    ]


def test_the_summary_is_of_the_most_real_pictures_and_names_them_and_the_judge(evaluation):
    report = image_report(evaluation)
    assert list(report.summary.values()) == ["273", "38 %", "0.656", "42 %"]
    assert "Kernel distance × 1000 (263 to 288); real photos 0" in report.summary
    assert "Match AUC (0.646 to 0.676); chance 0.5" in report.summary
    assert "drawn with guidance 2, of 2 ways the one nearest to real photos." in report.note
    assert report.note.endswith(f"Judge of all figures: {JUDGE}.")


def test_pictures_stand_above_their_nearest_photos_and_generated_ones_are_marked(
    evaluation, tmp_path
):
    shown = page(evaluation, tmp_path)
    alternatives = [image["alt"] for image in shown.all("img")]
    assert [alternative for alternative in alternatives if alternative.endswith(" 1")] == [
        "Generated: Drawn, guidance 1, 1",
        "Most like these, guidance 1, 1",
        "Generated: Drawn, guidance 2, 1",
        "Most like these, guidance 2, 1",
        "Real photos, 1",
        "Generated: Rebuilt photos, 1",
    ]
    assert len(alternatives) == 4 * 3 + 2 * 4


def test_every_column_of_every_table_is_explained(evaluation):
    for section in image_report(evaluation).sections:
        if "table" in section:
            _, *columns = section["table"][0]
            assert set(columns) - set(section["terms"]) <= {"Shoppers"}
            assert set(section["terms"]) <= set(columns)


def test_what_an_evaluation_lacks_is_left_out(evaluation, tmp_path):
    less = replace(
        evaluation,
        drawn={"guidance 2": replace(drawn(273, 0.656), diversity=Diversity(np.nan, 0.75))},
        real={},
        rebuilt=None,
        rebuilt_kernel=None,
        unknown_kernel=None,
        real_diversity=None,
    )
    shown = page(less, tmp_path)
    assert [row[0] for row in shown.rows if row[0] != "Pictures"] == [
        "Drawn, guidance 2",
        "Real photos",
        *3 * ["Drawn, guidance 2"],
    ]
    assert ["Drawn, guidance 2", "–", "0.75"] in shown.rows
    assert "of 2 ways" not in image_report(less).note
    assert "Rebuilt photos" not in shown.source


def test_agreement_stands_beside_chance(evaluation, tmp_path):
    table = pd.DataFrame(
        [
            ("color", "first", 0.633, 0.6, 0.665, 0.07, 901),
            ("color", "all", 0.5, 0.4, 0.6, 0.1, 901),
        ],
        columns=["attribute", "pictures", "value", "low", "high", "chance", "n_users"],
    )
    rows = page(replace(evaluation, agreement=table), tmp_path).rows
    assert ["color, first", "63 % (60 % to 66 %)", "7 %", "901"] in rows
    assert ["color, all", "50 % (40 % to 60 %)", "10 %", "901"] in rows


def test_figures_that_cannot_be_compared_are_refused(evaluation):
    with pytest.raises(InputError, match="no pictures; pass at least one way of drawing"):
        replace(evaluation, drawn={})
    with pytest.raises(InputError, match=f"2 judges: {JUDGE}, another; .* one judge alone"):
        replace(evaluation, real={"popular": match(0.5, "another")})
    with pytest.raises(InputError, match=r"\{'a': 900, 'b': 800\}; Fréchet distance"):
        replace(evaluation, drawn={"a": drawn(1, 0.5), "b": drawn(1, 0.5, n=800)})


def test_floors_are_those_of_the_report_that_was_computed(evaluation, tmp_path):
    rng = np.random.default_rng(0)
    training, held_out, made = (rng.normal(size=(60, 4)) + shift for shift in (0, 0, 1))
    computed = fidelity_report(training, held_out, made, n_boot=50)
    one = replace(drawn(0, 0.5), fidelity=computed)
    rows = page(replace(evaluation, drawn={"guidance 2": one}), tmp_path).rows
    real = next(row for row in rows if row[0] == "Real photos")
    assert real[2] == f"{computed.frechet_floor:.1f}"
    assert computed.frechet > computed.frechet_floor


def test_the_nearest_photo_is_the_nearest_of_all():
    rng = np.random.default_rng(3)
    training, made = rng.normal(size=(50, 7)), rng.normal(size=(1030, 7))
    row, distance = nearest_photos(training, made)
    all_distances = np.linalg.norm(training[:, None] - made, axis=2)
    np.testing.assert_array_equal(row, all_distances.argmin(axis=0))
    np.testing.assert_allclose(distance, all_distances.min(axis=0), atol=1e-7)
