"""The search at the command line: what it writes, that it goes on, and what it refuses."""

from __future__ import annotations

import json
import sys
import tomllib

import pandas as pd
import pytest
from command_line import (
    INTERRUPTED,
    NOT_INSTALLED,
    REFUSED,
    WRONG_USAGE,
    assert_refused,
    contents,
    done,
    run,
)  # fmt: skip
from hypothesis import given
from hypothesis import strategies as st
from settings import PLAIN

from prodgen_rec import (
    ALS,
    PersonalizerConfig,
    build_interactions,
    read_catalog,
    read_events,
    tune,
)
from prodgen_rec.cli.settings import read_settings, write_settings
from prodgen_rec.columns import EVENT_WEIGHTS
from prodgen_rec.preferences import ItemFeatures

SETTINGS = """\
# Of the shop.
attributes = ["type"]

[preferences]
iterations = 3
factors = 8

[imagery]
size = 16
""" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in PLAIN.items())


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture
def search(small_shop, tmp_path):
    """Run tune on the small shop for a few trials."""

    def search_with(*words, **files):
        files = {"events": small_shop.events, "out": tmp_path / "tuned.toml"} | files
        named = [word for name, path in files.items() for word in (f"--{name}", path)]
        return run("tune", "--trials", 3, "--k", 5, *named, *words)

    return search_with


# What it writes ------------------------------------------------------------------------


def test_what_is_written_is_what_the_library_finds(search, small_shop, tmp_path):
    out = tmp_path / "new" / "tuned.toml"
    outcome = search("--seed", 4, "--holdouts", 2, out=out)
    assert (outcome.code, outcome.out) == (0, f"{out}\n")
    start = ALS(**PersonalizerConfig().preferences.model_dump(), seed=4)
    best = tune(small_shop.events, start, n_trials=3, k=5, n_holdouts=2, seed=4)
    found = best.recommender
    written = tomllib.loads(out.read_text())
    assert written.pop("half_life_days", None) == best.half_life_days
    assert written.pop("event_weights", EVENT_WEIGHTS) == best.event_weights
    assert written == {
        "preferences": {
            "factors": found.factors, "regularization": found.regularization, "alpha": found.alpha,
            "frequency_scaling": found.frequency_scaling,
        }
    }  # fmt: skip
    assert f"nDCG@5 {best.value:.4f} on items held out; best of 3 trials" in out.read_text()
    assert "the best 3 of 3 trials: trial nDCG@5 factors regularization alpha" in outcome.said
    again = read_settings(out, size=None, event_weights="").preferences.recommender(seed=4)
    assert repr(again) == repr(found)


def test_json_tells_every_trial(search):
    told = search("--json")
    assert told.err == ""
    values = [trial["value"] for trial in told.json["trials"]]
    assert len(values) == 3
    assert told.json["ndcg@5"] == max(values)
    best = told.json["trials"][values.index(max(values))]
    assert {name: told.json["preferences"][name] for name in ("factors", "alpha")} == {
        name: best[name] for name in ("factors", "alpha")
    }


@pytest.mark.parametrize("name", ["tuned.toml", "tuned.json"])
def test_all_other_settings_are_kept(search, config, small_shop, tmp_path, name):
    out, weights = tmp_path / name, "view=1,click=1,wishlist=2,cart=3,purchase=9,return=-1"
    assert search("--event-weights", weights, config=config, out=out).code == 0
    assert config.read_text() == SETTINGS
    before = read_settings(config, size=None, event_weights=weights)
    after = read_settings(out, size=None, event_weights="")
    assert after.preferences.iterations == 3
    assert after.preferences != before.preferences
    fixed = {"purchase": 9.0, "click": 1.0, "wishlist": 2.0, "return": -1.0}
    assert after.event_weights.items() >= fixed.items()  # the strongest, absent ones, no preference
    found = ("preferences", "half_life_days", "event_weights")
    assert after.model_copy(update={name: getattr(before, name) for name in found}) == before

    bundle = tmp_path / "bundle"
    done(
        "fit", "--events", small_shop.events, "--items", small_shop.items,
        "--photos", small_shop.photos, "--out", bundle, "--config", out, "--steps", 2,
    )  # fmt: skip
    fitted = json.loads((bundle / "bundle.json").read_text())["content"]["config"]
    assert fitted["preferences"] == after.preferences.model_dump()
    assert fitted["event_weights"]["purchase"] == 9
    assert fitted["attributes"] == ["type"]


def test_features_of_items_get_the_weights_that_were_found(search, small_shop, tmp_path):
    config = tmp_path / "settings.json"
    config.write_text('{"item_features": {"type": 2.0, "color": 0.5}}')
    outcome = search("--json", config=config, items=small_shop.items)
    catalog = read_catalog(small_shop.items, small_shop.photos, size=16)
    features = {
        name: ItemFeatures.of_columns(catalog.items, catalog.attributes, {name: weight})
        for name, weight in {"type": 2.0, "color": 0.5}.items()
    }
    settings = PersonalizerConfig()
    start = ALS(**settings.preferences.model_dump())
    best = tune(small_shop.events, start, features=features, n_trials=3, k=5)
    assert outcome.json["ndcg@5"] == best.value
    assert outcome.json["item_features"] == {
        "type": 2.0 * best.weights["type"], "color": 0.5 * best.weights["color"]
    }  # fmt: skip
    again = search("--json", config=config, items=small_shop.items)
    assert again.json == outcome.json


def test_events_of_one_moment_are_held_out_by_chance(search, small_shop, tmp_path):
    log = pd.read_csv(small_shop.events).assign(timestamp="2024-01-01")
    log.to_csv(tmp_path / "log.csv", index=False)
    config = tmp_path / "given.json"
    config.write_text('{"half_life_days": 30.0}')
    outcome = search(events=tmp_path / "log.csv", config=config)
    assert "all events are of one moment: what is held out is drawn" in outcome.said
    start = ALS(**PersonalizerConfig().preferences.model_dump())
    best = tune(build_interactions(read_events(log)), start, n_trials=3, k=5)
    written = tomllib.loads((tmp_path / "tuned.toml").read_text())
    assert written.keys() == {"half_life_days", "preferences"}
    assert written["half_life_days"] == 30
    assert written["preferences"]["alpha"] == best.recommender.alpha


# Interruptions -------------------------------------------------------------------------


@pytest.fixture
def fits(monkeypatch):
    """Counts the fits of ALS, and interrupts the one that is given its number."""
    fit, count = ALS.fit, {"done": 0, "stop at": 0}

    def counted(self, interactions, features=None):
        if count["done"] + 1 == count["stop at"]:
            count["stop at"] = 0
            raise KeyboardInterrupt
        count["done"] += 1
        return fit(self, interactions, features)

    monkeypatch.setattr(ALS, "fit", counted)
    return count


def test_a_search_that_is_interrupted_goes_on_to_the_same_file(search, fits, tmp_path):
    assert search("--trials", 5, "--holdouts", 1, out=tmp_path / "unbroken.toml").code == 0
    assert fits["done"] == 5
    out = tmp_path / "tuned.toml"
    fits |= {"done": 0, "stop at": 4}
    interrupted = search("--trials", 5, "--holdouts", 1, out=out)
    assert interrupted.code == INTERRUPTED
    assert "error: interrupted; no file was left half-written; the same command" in interrupted.said
    assert "fit, tune and nightly go on where they stopped" in interrupted.said
    assert not out.exists()
    assert (fits["done"], search("--trials", 5, "--holdouts", 1, out=out).code, fits["done"]) == (
        3,
        0,
        5,
    )
    assert out.read_bytes() == (tmp_path / "unbroken.toml").read_bytes()


def test_more_trials_are_added_to_those_there_are(search, fits, tmp_path):
    assert search("--trials", 2, "--holdouts", 1).code == 0
    first = (tmp_path / "tuned.toml").read_text()
    assert search("--trials", 4, "--holdouts", 1).code == 0
    assert fits["done"] == 4
    assert "best of 4 trials" in (tmp_path / "tuned.toml").read_text() != first


# What it refuses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("standing", "lost"),
    [
        (SETTINGS, "'attributes', 'preferences.iterations', 'imagery.size', …"),
        ("[preferences]\nfactors = 8\niterations = 3\n", "'preferences.iterations'"),
        ("[event_weights]\npurchase = 1\n", "'event_weights.purchase'"),
    ],
)
def test_settings_that_stand_there_are_not_lost(search, tmp_path, standing, lost):
    out = tmp_path / "tuned.toml"
    out.write_text(standing)
    text = f"--out: {out} holds settings that would be lost: {lost}; name another file, and give"
    assert_refused(search(), REFUSED, text)
    assert contents(tmp_path) == {"tuned.toml": standing.encode()}


def test_settings_are_not_written_over_themselves(search, config, tmp_path):
    (tmp_path / "same.toml").symlink_to(config)
    for out in (config, tmp_path / "same.toml"):
        outcome = search(config=config, out=out)
        assert_refused(outcome, REFUSED, "is --config as well, and comments in it would be lost")
    assert config.read_text() == SETTINGS


def test_a_file_that_is_no_settings_is_not_written_over(search, tmp_path):
    (tmp_path / "tuned.toml").write_text("notes of mine")
    assert_refused(search(), REFUSED, "--out: ")
    assert contents(tmp_path) == {"tuned.toml": b"notes of mine"}


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"out": "tuned.txt"}, "--out: tuned.txt must end in .toml or .json, the formats of"),
        ({"events": "nowhere.csv"}, "there is no 'nowhere.csv'"),
        ({"config": "nowhere.toml"}, "--config: there is no file nowhere.toml"),
        ({"items": "items.csv"}, "--items: the settings have no item_features, so that"),
    ],
)
def test_paths_that_make_no_sense(search, tmp_path, monkeypatch, files, text):
    monkeypatch.chdir(tmp_path)
    assert_refused(search(**files), REFUSED, text)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--trials", 0), WRONG_USAGE, "Invalid value for '--trials'"),
        (("--holdouts", 0), WRONG_USAGE, "Invalid value for '--holdouts'"),
        (("--minutes", 0), WRONG_USAGE, "0 is not a number above 0"),
        (("--k", 1000), REFUSED, "k = 1000: no user has so many of the 235 items left"),
        (("--columns", "price=cost"), REFUSED, "--columns: no file has a column 'cost'"),
    ],
)
def test_options_that_make_no_sense(search, tmp_path, words, code, text):
    assert_refused(search(*words), code, text)
    assert not (tmp_path / "tuned.toml").exists()


def test_features_need_the_item_table(search, tmp_path):
    config = tmp_path / "settings.json"
    config.write_text('{"item_features": {"type": 2.0}}')
    text = (
        "the settings have item_features, type, which are columns of the item table; give --items"
    )
    assert_refused(search(config=config), REFUSED, text)


def test_without_optuna_it_says_what_to_install(search, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    outcome = search(events="not even read")
    assert_refused(outcome, NOT_INSTALLED, "install it with: pip install 'prodgen-rec[tune]'")


# Files of settings ---------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["toml", "json"])
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1, unique=True
    ),
    weight=st.floats(1e-30, 1e30),
)
def test_settings_are_read_as_they_were_written(tmp_path_factory, ending, names, weight):
    path = tmp_path_factory.mktemp("settings") / f"any.{ending}"
    settings = PersonalizerConfig.parse(
        {
            "event_weights": dict.fromkeys(names, weight),
            "half_life_days": None,
            "attributes": names,
            "imagery": {"mirror": False, "size": 32},
        }
    )
    write_settings(path, settings, "a note")
    assert read_settings(path, size=None, event_weights="") == settings
