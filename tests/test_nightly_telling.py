"""What a nightly job tells while it goes on and at its end: lines, logs, metrics."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_line import REFUSED, Outcome, Terminal, run
from prometheus_client.parser import text_string_to_metric_families

from prodgen_rec.cli import console
from prodgen_rec.events import read_events

NOTHING_TO_DO, GATE, INTERRUPTED = 8, 9, 130
GARBLED = 3
"""Rows of the log without a usable time."""


@pytest.fixture(scope="module")
def events(small_shop, tmp_path_factory) -> Path:
    """The log of the shop, with a few bad rows and a user without anything that the fit knows."""
    frame = read_events(small_shop.events).to_pandas()
    cold = frame.iloc[:1].assign(user_id="user-cold", item_id="SKU-unheard")
    frame = pd.concat([frame, cold]).astype({"timestamp": str})
    bad = frame.iloc[:GARBLED].assign(timestamp="yesterday")
    file = tmp_path_factory.mktemp("log") / "events.csv"
    pd.concat([frame, bad]).to_csv(file, index=False)
    return file


class Place:
    """A place of runs, and the files that are told of them."""

    def __init__(self, folder: Path, bundle: Path, events: Path) -> None:
        self.to, self.log, self.metrics = (
            folder / name for name in ("to", "job.log", "nightly.prom")
        )
        self.settings = folder / "nightly.toml"
        self.settings.write_text(
            f'bundle = "{bundle}"\nevents = "{events}"\nto = "{self.to}"\n'
            '[recipe]\ncold = "refuse"\nn_items = 3\nn_pictures = 2\nusers_per_part = 60\n'
        )

    def words(self, *more: Any, date: str = "2026-11-26") -> list[Any]:
        files = ["--log", self.log, "--metrics", self.metrics]
        return ["nightly", "--config", self.settings, "--date", date, *files, *more]

    def run(self, *more: Any, date: str = "2026-11-26") -> Outcome:
        return run(*self.words(*more, date=date))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]

    @property
    def figures(self) -> dict[str, float]:
        """Values of the file of metrics, by name and the value of the label."""
        families = text_string_to_metric_families(self.metrics.read_text("utf-8"))
        return {
            " ".join([one.name.removeprefix("prodgen_rec_nightly_"), *one.labels.values()]): (
                one.value
            )
            for family in families
            for one in family.samples
            if not one.name.endswith("_info")
        }


@pytest.fixture
def place(tmp_path, bundle, events) -> Place:
    return Place(tmp_path, bundle, events)


def test_a_log_and_metrics_tell_of_the_run(place):
    outcome = place.run("--json")
    told = outcome.json
    lines = place.lines
    assert {line["run_id"] for line in lines} == {"2026-11-26"}
    parts = [line for line in lines if line["message"] == "part written"]
    assert [line["part"] for line in parts] == [0, 1, 2, 3]
    assert sum(line["users"] for line in parts) == told["users_in"] == 201
    ends = {line["stage"]: line["seconds"] for line in lines if line["message"] == "stage ends"}
    assert list(ends) == ["bundle", "log", "kernel", "making", "publishing"]
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)

    figures = place.figures
    assert figures["exit_code"] == 0
    assert figures["last_success_timestamp_seconds"] == figures["last_end_timestamp_seconds"] > 1e9
    assert (figures["users in"], figures["users out"]) == (201, 200)
    assert figures["users_refused no usable history"] == 1
    assert (figures["log_rows good"], figures["log_rows bad"]) == (
        told["log"]["good"],
        told["log"]["bad"],
    )
    assert told["log"]["reasons"] == {"unreadable timestamp": GARBLED}
    assert figures["log_bad_rows unreadable timestamp"] == GARBLED
    assert (figures["parts_made"], figures["pictures_made"]) == (4, 400)
    assert figures["bytes_made"] == told["bytes"]
    making = figures["stage_seconds making"]
    assert figures["pictures_per_second"] == pytest.approx(400 / making)
    assert making == pytest.approx(ends["making"], abs=1e-3)
    assert "score_drift" not in figures


def test_metrics_tell_of_failures_and_keep_the_last_success(place, tmp_path, events):
    assert place.run("--since", "2040-01-01").code == NOTHING_TO_DO
    assert place.figures["exit_code"] == NOTHING_TO_DO
    assert place.figures["last_success_timestamp_seconds"] == 0
    assert place.figures["log_rows bad"] == GARBLED
    assert place.lines[-1] | {"time": ""} == {
        "time": "",
        "level": "error",
        "message": place.lines[-1]["message"],
        "logger": "prodgen_rec.cli.telling",
        "run_id": "2026-11-26",
        "exit_code": NOTHING_TO_DO,
    }

    assert place.run().code == 0
    success = place.figures["last_success_timestamp_seconds"]
    frame = pd.read_csv(events)
    few = tmp_path / "few.csv"
    frame[frame["user_id"] < "user-00060"].to_csv(few, index=False)
    assert place.run("--events", few, date="2026-11-27").code == GATE
    figures = place.figures
    assert figures["exit_code"] == GATE
    assert figures["last_success_timestamp_seconds"] == success
    assert figures["users out"] == 60
    assert 0 < figures["score_drift"] < 1

    place.settings.write_text("keep = 0\n")
    assert place.run().code == REFUSED
    assert place.figures["exit_code"] == REFUSED
    assert place.figures["last_success_timestamp_seconds"] == success
    assert "users in" not in place.figures


def test_an_interrupted_job_tells_how_far_it_came(place, monkeypatch):
    from prodgen_rec.nightly.writing import Run

    written = Run.write_part

    def interrupted(self, index, *arguments, **named):
        if index == 2:
            raise KeyboardInterrupt
        written(self, index, *arguments, **named)

    monkeypatch.setattr(Run, "write_part", interrupted)
    assert place.run().code == INTERRUPTED
    assert place.figures["exit_code"] == INTERRUPTED
    assert place.figures["parts_made"] == 2
    assert place.figures["stage_seconds making"] > 0
    assert place.lines[-1]["exit_code"] == INTERRUPTED
    monkeypatch.undo()
    assert place.run().code == 0
    assert place.figures["parts_made"] == 2


def test_the_same_night_again_makes_nothing_and_knows_the_run(place):
    place.run()
    place.run("--accept", "--n-pictures", 1, date="2026-11-27")
    drifted = place.figures["score_drift"]
    place.run("--accept", "--n-pictures", 1, date="2026-11-27")
    figures = place.figures
    assert (figures["exit_code"], figures["parts_made"], figures["pictures_made"]) == (0, 0, 0)
    assert (figures["users out"], figures["score_drift"]) == (200, drifted)
    assert "pictures_per_second" not in figures


def test_warnings_stand_in_the_log_and_on_standard_error(tmp_path, capsys):
    from prodgen_rec.cli.logs import logged
    from prodgen_rec.nightly import Account

    library = logging.getLogger("prodgen_rec")
    before = (list(library.handlers), library.level)
    with logged(tmp_path / "deep" / "job.log", Account(run_id="r")):
        library.getChild("any").warning("a lock of %s was taken over", "nobody")
        library.getChild("any").info("quiet", extra={"part": 3, "share": float("nan")})
    first, second = map(json.loads, (tmp_path / "deep" / "job.log").read_text().splitlines())
    assert (first["message"], first["level"]) == ("a lock of nobody was taken over", "warning")
    assert (second["part"], second["share"], second["run_id"]) == (3, None, "r")
    assert capsys.readouterr().err == "a lock of nobody was taken over\n"
    assert (library.handlers, library.level) == before


@pytest.mark.parametrize(
    ("option", "place", "message"),
    [
        ("--metrics", "metrics.txt", "must end in .prom"),
        ("--metrics", "file/x.prom", "is a file; expected a folder"),
        ("--log", "file/x.log", "--log: "),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    tmp_path, option, place, message
):
    (tmp_path / "file").write_text("")
    outcome = run("nightly", option, tmp_path / place)
    assert outcome.code == REFUSED
    assert message in outcome.said


def test_lines_say_how_much_is_done_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(console, "LEAST_PAUSE", 0.0)
    with console.Reporter().bar(200, "users") as advance:
        for _ in range(8):
            advance(25)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in said] == [
        f"  {share} %: {n} of 200 users"
        for share, n in [(10, 25), (20, 50), (30, 75), (50, 100), (60, 125), (70, 150), (80, 175)]
    ]
    assert all("a second, 0 min 0 s left" in line for line in said)
    monkeypatch.setattr(console, "LEAST_PAUSE", 10.0)
    with console.Reporter().bar(200, "users") as advance:
        advance(150)
    with console.Reporter(quiet=True).bar(2, "users") as advance:
        advance(1)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_terminal_shows_a_bar_with_rate_and_time_left(place):
    terminal = Terminal(*place.words())
    terminal.shows(r"━ +\d+% \d+ users, [\d.,]+ a second, (-:--:--|0:\d\d:\d\d) left")
    assert terminal.end().code == 0
