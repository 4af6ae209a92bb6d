"""The report page, read back as a viewer would see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import HOSTILE, Page, decoded, plot, section_of, shades
from PIL import Image

from prodgen_rec.display import ReportSection, write_report
from prodgen_rec.errors import InputError
from prodgen_rec.figures import write_figure


def page(folder: Path, *sections: ReportSection, **words: Any) -> Page:
    return Page(write_report(folder / "report.html", sections, **{"title": "Night"} | words))


@pytest.mark.parametrize("text", HOSTILE)
def test_words_are_shown_and_never_obeyed(tmp_path, text):
    hostile = page(tmp_path, section_of(text), title=text, note=text, summary={text: text})
    usual = page(tmp_path, section_of("word"), title="t", note="n", summary={"l": "t"})
    assert [name for name, _ in hostile.elements] == [name for name, _ in usual.elements]
    assert hostile.attribute_names == usual.attribute_names
    # Title, heading, note and summary of the page; heading and note of the section; column,
    # name and figure of the table; term and meaning; label of the pictures.
    assert hostile.texts.count(text) == 5 + 2 + 3 + 2 + 1
    assert [image["alt"] for image in hostile.all("img")] == [text, f"Generated: {text}, 1"]


def test_the_page_requests_nothing_and_runs_nothing(tmp_path):
    shown = page(tmp_path, section_of("word"))
    policy = next(meta["content"] for meta in shown.all("meta") if "http-equiv" in meta)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "://" not in shown.source
    assert "url(" not in shown.source
    assert not shown.all("script")
    assert not shown.all("link")


def test_tables_are_shown_row_by_row_and_column_by_column(tmp_path):
    table = [{"Pictures": f"row {i}", "a": f"{i}a", "b": f"{i}b"} for i in range(3)]
    shown = page(tmp_path, ReportSection("Figures", table=table))
    assert shown.rows == [list(table[0]), *(list(row.values()) for row in table)]
    assert [cell.get("scope") for cell in shown.all("th")] == ["col"] * 3 + ["row"] * 3


def test_pictures_are_embedded_in_their_order(tmp_path):
    pictures = {"first": shades(3, 8, 12), "second": shades(2, level=100)}
    shown = page(tmp_path, ReportSection("Pictures", pictures=pictures))
    images = shown.all("img")
    assert [image["alt"] for image in images] == [
        *(f"first, {i}" for i in (1, 2, 3)),
        *(f"second, {i}" for i in (1, 2)),
    ]
    assert [(image["width"], image["height"]) for image in images[::3]] == [
        ("12", "8"),
        ("16",) * 2,
    ]
    expected = [*pictures["first"], *pictures["second"]]
    for image, picture in zip(images, expected, strict=True):
        assert np.abs(decoded(image) - picture).max() <= 4


def test_plots_are_embedded_at_their_size(tmp_path):
    figure = plot("one")
    (image,) = page(tmp_path, ReportSection("Plots", plots={"A plot": figure})).all("img")
    assert image["alt"] == "A plot"
    assert image["style"] == "width: 18.0rem"
    assert image["src"].startswith("data:image/png;base64,")
    write_figure(figure, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as written:
        assert np.array_equal(decoded(image), np.asarray(written.convert("RGB")))


def test_columns_of_words_are_marked(tmp_path):
    table = [{"name": "a", "kind": "b", "n": "1"}]
    shown = page(tmp_path, ReportSection("Table", table=table, words=["kind"]))
    assert [cell.get("class") for cell in shown.all("td")] == ["words", None]
    assert [cell.get("class") for cell in shown.all("th")] == [None, "words", None, None]


def test_generated_rows_are_marked_in_words_and_others_are_not(tmp_path):
    shown = page(
        tmp_path,
        ReportSection(
            "Mixed",
            table=[{"name": "drawn"}, {"name": "real"}],
            pictures={"drawn": shades(2), "real": shades(3), "rebuilt": shades(1)},
            made=["drawn", "rebuilt"],
        ),
    )
    assert shown.texts.count("Generated") == 2
    marked = [image["alt"] for image in shown.all("img") if image["alt"].startswith("Generated: ")]
    assert marked == ["Generated: drawn, 1", "Generated: drawn, 2", "Generated: rebuilt, 1"]
    assert [row.get("class") for row in shown.all("tr")] == [None, "made", None]
    assert [row.get("class") for row in shown.all("figure")] == ["made", None, "made"]


def test_intervals_lie_on_one_scale_from_the_least_end_to_the_greatest(tmp_path):
    figures = ReportSection(
        "Scale",
        table=[{"name": name} for name in ("low", "high", "none")],
        intervals={"low": (-1.0, -2.0, 0.0), "high": (7.0, 6.0, 8.0)},
    )
    assert figures.places("low") == (10.0, 0.0, 20.0)
    assert figures.places("high") == (90.0, 80.0, 100.0)
    shown = page(tmp_path, figures)
    places = [bar["style"] for bar in shown.all("i")]
    assert places == ["left: 0.0%; right: 80.0%", "left: 80.0%; right: 0.0%"]
    assert [dot["style"] for dot in shown.all("b")] == ["left: 10.0%", "left: 90.0%"]


@given(st.lists(st.tuples(*3 * [st.floats(-1e300, 1e300)]), min_size=1, max_size=5))
def test_intervals_of_any_size_stay_on_the_scale(triples):
    ordered = {f"{i}": tuple(np.array(sorted(t))[[1, 0, 2]]) for i, t in enumerate(triples)}
    figures = ReportSection("Any", table=[{"name": name} for name in ordered], intervals=ordered)
    for name in ordered:
        value, low, high = figures.places(name)
        assert 0 <= low <= value <= high <= 100


def test_every_label_of_the_page_has_its_target_once(tmp_path):
    shown = page(tmp_path, section_of("one"), section_of("two"))
    ids = [attributes["id"] for _, attributes in shown.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) == 2
    assert {a["aria-labelledby"] for a in shown.all("section")} == set(ids)


def test_a_report_replaces_the_last_one_and_leaves_nothing_else(tmp_path):
    page(tmp_path / "deep", section_of("first"))
    shown = page(tmp_path / "deep", section_of("second"))
    assert "second" in shown.texts
    assert "first" not in shown.texts
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.html"]


class Broken:
    def __str__(self) -> str:
        raise OSError("no such figure")


def test_a_report_that_fails_leaves_the_last_one_as_it_was(tmp_path):
    before = page(tmp_path, section_of("first")).source
    with pytest.raises(OSError, match="no such figure"):
        write_report(
            tmp_path / "report.html", [section_of("x")], title="t", summary={"l": Broken()}
        )
    assert (tmp_path / "report.html").read_text("utf-8") == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_report_without_sections_is_refused(tmp_path):
    with pytest.raises(InputError, match="pass at least one ReportSection"):
        write_report(tmp_path / "report.html", [], title="t")
    assert not list(tmp_path.iterdir())


ROW = {"name": "a", "x": "1"}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"table": [ROW, {"x": "1", "name": "a"}]},
            r"'Heads': row 2 of the table has the columns \['x', 'name'\], the first \S+ \['name'",
        ),
        ({"table": [ROW, ROW, {"name": "a"}]}, r"row 3 of the table has the columns \['name'\]"),
        (
            {"table": [ROW], "made": ["b"]},
            r"'Heads': made has \['b'\], which is no row; .* \['a'\]",
        ),
        ({"table": [ROW], "intervals": {"b": (0, 0, 0)}}, r"intervals has \['b'\]"),
        ({"table": [ROW], "intervals": {"a": (1, 3, 2)}}, "of 'a' is value 1, low 3, high 2"),
        ({"table": [ROW], "intervals": {"a": (1, 0, np.inf)}}, "high inf; expected finite"),
        ({"table": [ROW], "intervals": {"a": (np.nan, 0, 1)}}, "value nan"),
        (
            {"pictures": {"r": shades(1) / 255}},
            r"'Heads', row 'r': float64 of shape \(1, 16, 16, 3",
        ),
        ({"pictures": {"r": shades(0)}}, "n at least 1"),
    ],
)
def test_parts_that_do_not_fit_are_named(parts, message):
    with pytest.raises(InputError, match=message):
        ReportSection("Heads", **parts)
