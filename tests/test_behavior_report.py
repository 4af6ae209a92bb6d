"""The report on a log: its figures against counts made by hand, and logs of every poverty."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest
from command_line import contents, done, run
from pages import HOSTILE, Page

from prodgen_rec import behavior, read_catalog, read_events
from prodgen_rec.display import behavior_plots, behavior_report
from prodgen_rec.display._words import share
from prodgen_rec.errors import ConfigError, InputError

COLUMNS = ["user_id", "item_id", "event", "timestamp"]
WEIGHTS = {"view": 1.0, "cart": 3.0, "purchase": 5.0}
LOG = [
    ("ann", "cup", "view", "2025-03-01 10:00"),
    ("ann", "pan", "view", "2025-03-01 10:20"),
    ("ann", "pot", "view", "2025-03-01 10:40"),
    ("ann", "pan", "purchase", "2025-03-01 11:00"),
    ("bob", "cup", "view", "2025-03-02 09:00"),
    ("bob", "cup", "cart", "2025-03-02 09:05"),
    ("bob", "cup", "purchase", "2025-03-02 09:10"),
    ("bob", "cup", "purchase", "2025-03-04 09:00"),
]


def log_of(rows, weights=WEIGHTS):
    return read_events(pd.DataFrame(rows, columns=COLUMNS), event_weights=weights)


def page_of(events, tmp_path, catalog=None, **options):
    report = behavior_report(events, catalog, event_weights=WEIGHTS, **options)
    return report, Page(report.write(tmp_path / "page.html"))


def catalog_of(table, photos=None):
    return read_catalog(table, photos, size=16, progress=False)


# Figures -------------------------------------------------------------------------------


def test_the_page_says_what_was_counted_by_hand(tmp_path):
    report, page = page_of(log_of(LOG), tmp_path)
    rows = page.rows
    assert ["Rows read", "8", "100 %"] in rows
    assert ["view", "4", "2", "100 %", "3", "4", "–", "50 %"] in rows
    assert ["cart", "1", "1", "50 %", "1", "1", "25 %", "100 %"] in rows
    assert ["purchase", "3", "2", "100 %", "2", "2", "100 %", "100 %"] in rows
    assert any("There are 3; 100 % of them hold a purchase." in text for text in page.texts)
    assert ["Minutes", "23.3", "2", "10", "50", "60"] in rows
    assert ["Different items", "2", "1.2", "2", "2.8", "3"] in rows
    assert ["Users who came on more than one day", "50 %"] in rows
    assert ["Buyers who purchased on more than one day", "50 %"] in rows
    assert ["Purchased pairs that were purchased again on another day", "50 %"] in rows
    assert ["50 %", "2", "75 %"] in rows  # cup and pan, of 4 pairs
    assert ["cup", "2", "100 %", "5"] in rows
    assert ["2025-03-02", "3", "1", "100 %", "1", "0 %", "0.74"] in rows
    assert page.texts.count("Viewed pairs that were purchased") == 1
    assert report.figures["figures"]["viewed_pairs_purchased"] == 0.5
    assert report.figures["figures"]["density"] == pytest.approx(4 / 6)
    assert report.summary["Events"] == "8"


def test_the_figures_are_those_of_the_tables(small_shop):
    events = read_events(small_shop.events)
    catalog = read_catalog(small_shop.items, small_shop.photos, size=16, progress=False)
    found = behavior_report(events, catalog).figures
    assert found["log"]["n_rows"] == events.report.n_rows
    assert [row["n_pairs"] for row in found["funnel"]] == behavior.funnel(events)[
        "n_pairs"
    ].tolist()
    assert len(found["drift"]) == len(behavior.drift(events))
    coverage = behavior.photo_coverage(events, catalog)
    assert found["coverage"] == coverage.to_dict("records")
    assert found["figures"]["gini"] == behavior.gini(behavior.popularity(events))
    assert {row["attribute"] for row in found["segments"]} <= {"type", "color", "pattern"}


def test_a_share_never_looks_like_more_or_less_than_it_is():
    values = [0, 0.00024, 0.004, 0.05, 0.123, 0.994, 0.99999, 1, np.nan]
    expected = ["0 %", "0.024 %", "0.4 %", "5 %", "12 %", "99.4 %", "99.9 %", "100 %", "–"]
    assert [share(value) for value in values] == expected


def test_a_last_period_that_is_cut_short_is_told(tmp_path):
    _, page = page_of(log_of(LOG), tmp_path, period_days=2)
    assert any("The last period ends after 1.4 days: its" in text for text in page.texts)
    whole = [(*row[:3], f"2025-03-0{day}") for day, row in enumerate(LOG[:4], 1)]
    _, page = page_of(log_of(whole), tmp_path, period_days=2)
    assert not any("The last period ends" in text for text in page.texts)


# Words from outside --------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_ids_events_and_attributes_are_shown_and_never_obeyed(tmp_path, text):
    def shown(word):
        rows = [(word, word, "view", "2025-03-01"), (word, f"{word}2", word, "2025-03-02")]
        events = log_of(rows, {"view": 1.0, word: 1.0})
        items = pd.DataFrame({"item_id": [word, f"{word}2"], word: [word, "b"]})
        report = behavior_report(events, catalog_of(items), event_weights={"view": 1.0, word: 1.0})
        return Page(report.write(tmp_path / "page.html"))

    hostile, usual = shown(text), shown("word")
    assert [name for name, _ in hostile.elements] == [name for name, _ in usual.elements]
    assert hostile.attribute_names == usual.attribute_names
    # Once as an event, an item and a value, and in the name of a column.
    assert hostile.texts.count(text) == usual.texts.count("word") == 3
    assert hostile.texts.count(f"Its {text}") == 1


# Poor logs -----------------------------------------------------------------------------


def test_a_log_of_days_has_no_minutes(tmp_path):
    _, page = page_of(log_of([(*row[:3], row[3][:10]) for row in LOG]), tmp_path)
    assert any("The log knows days and no times" in text for text in page.texts)
    assert not any(row[0] == "Minutes" for row in page.rows)
    assert len(page.all("img")) == 10 - 1


def test_a_log_without_purchases_says_so(tmp_path):
    report, page = page_of(log_of([row for row in LOG if row[2] != "purchase"]), tmp_path)
    assert any("The log holds no purchases" in text for text in page.texts)
    assert ["Users who purchased", "0 %"] in page.rows
    assert "Viewed pairs that were purchased" not in report.summary
    assert not any(row[0].startswith("Buyers") for row in page.rows)


@pytest.mark.parametrize("n_rows", [1, 4])
def test_a_log_of_one_user_or_one_event_makes_a_page(tmp_path, n_rows):
    report, page = page_of(log_of(LOG[:n_rows]), tmp_path)
    assert report.summary["Users"] == "1"
    assert any("The log is of one period" in text for text in page.texts)
    assert not any("nan" in cell.lower() for row in page.rows for cell in row if cell != "pan")


def test_a_log_of_one_kind_of_event_has_no_funnel(tmp_path):
    _, page = page_of(log_of(LOG[:3]), tmp_path)
    assert any("The log holds view events alone" in text for text in page.texts)
    assert ["view", "3", "1", "100 %", "3", "3"] in page.rows


def test_a_log_without_events_is_refused():
    with pytest.raises(InputError, match="there are no events in"):
        behavior_report(log_of(LOG).where(np.zeros(len(LOG), bool)))


def test_lengths_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match=r"period_days = 0.002: .* more than 1,000 periods"):
        behavior_report(log_of(LOG), period_days=0.002)
    with pytest.raises(ConfigError, match="gap_minutes = -1"):
        behavior_report(log_of(LOG), gap_minutes=-1)


# Segments ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tastes():
    """Half of 120 users take four of the eight mugs, the others four of the eight hats."""
    rng = np.random.default_rng(0)
    rows = [
        (user, 8 * (user % 2) + item, "purchase", "2025-03-01")
        for user in range(120)
        for item in rng.choice(8, 4, replace=False)
    ]
    items = pd.DataFrame({"item_id": range(16), "kind": ["mug"] * 8 + ["hat"] * 8})
    return log_of(rows), items


def test_planted_tastes_are_told_with_photos(tastes, tmp_path):
    events, items = tastes
    photos = {item: np.full((16, 16, 3), 10 * item, np.uint8) for item in range(16)}
    _, page = page_of(events, tmp_path, catalog_of(items, photos))
    told = [row for row in page.rows if row[-1].startswith(("mug 100", "hat 100"))]
    assert {row[-1][:3] for row in told} == {"mug", "hat"}
    assert sum(int(row[1]) for row in told) == 120
    labels = {image["alt"].partition(",")[0] for image in page.all("img")}
    assert {f"Segment {row[0]}" for row in told} <= labels


@pytest.mark.parametrize(
    ("n_users", "columns", "why"),
    [
        (40, ["item_id", "kind"], "40 users took 3 items or more, and at least 50 are needed"),
        (120, ["item_id"], "the item table has no column of 2 to 60 different words"),
    ],
)
def test_why_there_are_no_segments_is_told(tastes, tmp_path, n_users, columns, why):
    events, items = tastes
    some = events.where((events.to_pandas()["user_id"] < n_users).to_numpy())
    report, page = page_of(some, tmp_path, catalog_of(items[columns]))
    assert any(f"Not looked for: {why}" in text for text in page.texts)
    assert "segments" not in report.figures


def test_a_catalogue_of_other_items_has_no_segments(tastes, tmp_path):
    events, items = tastes
    strangers = items.assign(item_id=items["item_id"] + 100)
    _, page = page_of(events, tmp_path, catalog_of(strangers))
    assert any("the item table knows no item of the log" in text for text in page.texts)
    assert ["Items", "16", "0 %"] in page.rows
    assert any("none of them is in the log: are their ids" in text for text in page.texts)
    report, page = page_of(events, tmp_path, catalog_of(items))
    assert report.summary["Events with items of the item table"] == "100 %"
    assert not any("none of them is in the log" in text for text in page.texts)


# Plots ---------------------------------------------------------------------------------


def test_bars_are_as_long_as_the_table_says():
    funnel = behavior.funnel(log_of(LOG))
    (axes,) = behavior_plots.funnel_plot(funnel).axes
    assert [bar.get_width() for bar in axes.patches] == [4, 1, 2, 2, 1, 2]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["view", "cart", "purchase"]
    (axes,) = behavior_plots.session_size_plot(behavior.sessions(log_of(LOG))).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx([2 / 3, 0, 1 / 3] * 2)


def test_curves_go_through_what_the_tables_say():
    popularity = behavior.popularity(log_of(LOG))
    _, curve, _ = behavior_plots.concentration_plot(popularity).axes[0].lines
    np.testing.assert_allclose(curve.get_xdata(), [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.get_ydata(), [0, 0.5, 0.75, 1])
    drift = behavior.drift(log_of(LOG), days=1)
    distance, _ = behavior_plots.change_plot(drift).axes[0].lines
    np.testing.assert_allclose(distance.get_ydata(), drift["distance"][1:])


def test_a_plot_is_written_on_request_and_needs_rows(tmp_path):
    users = behavior.recency_and_frequency(log_of(LOG))
    for name in ("recency_plot", "frequency_plot", "history_plot"):
        figure = getattr(behavior_plots, name)(users, tmp_path / f"{name}.png")
        assert figure.axes[0].get_xlabel()
        assert figure.axes[0].get_ylabel()
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        with pytest.raises(InputError, match="a table without rows"):
            getattr(behavior_plots, name)(users.iloc[:0])


def test_names_in_any_script_are_no_error(tmp_path):
    events = log_of([("a", "b", "見る", "2025-03-01"), ("a", "b", "$x^", "2025-03-01")],
                    {"見る": 1.0, "$x^": 1.0})  # fmt: skip
    behavior_plots.funnel_plot(behavior.funnel(events), tmp_path / "funnel.png")
    assert (tmp_path / "funnel.png").is_file()


# The command ---------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    pd.DataFrame(LOG, columns=COLUMNS).to_csv(path, index=False)
    return path


def test_the_command_writes_a_page_and_its_figures(small_shop, tmp_path):
    out = tmp_path / "new" / "behavior"
    words = ("inspect", "--events", small_shop.events, "--items", small_shop.items)
    outcome = done(*words, "--photos", small_shop.photos, "--out", out, "--json")
    assert outcome.err == ""
    assert sorted(os.listdir(out)) == ["behavior.json", "index.html"]
    assert json.loads((out / "behavior.json").read_text()) == outcome.json
    assert (
        outcome.json["figures"]["n_users"]
        == read_events(small_shop.events).to_pandas()["user_id"].nunique()
    )
    page = Page(out / "index.html")
    assert not page.all("script")
    assert "://" not in page.source
    assert any(image["alt"].startswith("Segment 1, ") for image in page.all("img"))


def test_the_command_tells_the_main_figures(log, tmp_path):
    outcome = done("inspect", "--events", log, "--out", tmp_path / "out", "--period-days", 2)
    assert outcome.out == f"{tmp_path / 'out' / 'index.html'}\n"
    assert "Events: 8" in outcome.said
    assert "Viewed pairs that were purchased: 50 %" in outcome.said


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--photos", "photos"), 2, "--photos are of items; give --items, too."),
        (("--period-days", 0), 2, "0 is not a number above 0"),
        (("--period-days", 0.001), 3, "which makes more than 1,000 periods"),
        (("--items", "items.csv", "--attributes", "kind,sise"), 3, "has no attribute 'sise'; it"),
        (("--event-weights", "look=1"), 3, "no good row is left; most often: unknown event (8)"),
        (("--items", "nowhere.csv"), 3, "items: there is no nowhere.csv"),
        (("--items", "void"), 3, "items: there are no files in void; expected Parquet files"),
        (("--items", "latin.csv"), 3, "unexpected end of data; save it as UTF-8"),
        (("--out", "log.csv"), 3, "--out: log.csv is a file; expected a folder"),
        (("--out", "/proc/new"), 3, "--out: nothing can be written in /proc: No such file"),
    ],
)
def test_what_the_command_refuses(log, tmp_path, monkeypatch, words, code, text):
    monkeypatch.chdir(tmp_path)
    items = pd.DataFrame({"item_id": ["cup", "pan"], "kind": ["a", "b"]})
    items.to_csv("items.csv", index=False)
    (tmp_path / "out").mkdir()
    (tmp_path / "void").mkdir()
    (tmp_path / "latin.csv").write_bytes("item_id,kind\ncaf\xe9,a\n".encode("latin-1"))
    (tmp_path / "out" / "index.html").write_text("yesterday's")
    before = contents(tmp_path)
    outcome = run("inspect", "--events", log, "--out", "out", *words)
    assert outcome.code == code
    assert text in outcome.said
    assert outcome.out == ""
    assert contents(tmp_path) == before
