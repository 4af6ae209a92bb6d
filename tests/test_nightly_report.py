"""The page on a nightly run, read back as a viewer would see it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import run as command
from pages import Page, decoded
from PIL import Image

from prodgen_rec.display import nightly_report
from prodgen_rec.errors import InputError, QualityGateError
from prodgen_rec.events import read_events
from prodgen_rec.nightly import Account, NightlySettings, latest, run
from prodgen_rec.preferences.parallel import n_cpus

SCRIPT = "<script>document.title = 'owned'</script>"


def settings_of(bundle: Path, events: Path, to: Path, **more) -> NightlySettings:
    recipe = {"n_items": 3, "n_pictures": 2, "users_per_part": 60, "cold": "refuse"}
    given = {"bundle": bundle, "events": str(events), "to": str(to), "recipe": recipe}
    return NightlySettings.read(**({"date": "2026-11-26"} | given | more))


@pytest.fixture(scope="module")
def events(small_shop, tmp_path_factory) -> Path:
    """The log of the shop, with users whose ids want to be more, one of them without a history."""
    frame = read_events(small_shop.events).to_pandas()
    frame["user_id"] = frame["user_id"].replace({"user-00000": f"{SCRIPT}0"})
    cold = frame.iloc[:1].assign(user_id="user-cold", item_id="SKU-unheard")
    file = tmp_path_factory.mktemp("log") / "events.parquet"
    pd.concat([frame, cold]).to_parquet(file, index=False)
    return file


@pytest.fixture(scope="module")
def night(bundle, events, tmp_path_factory) -> tuple[Path, Account, Path]:
    """A place of runs, what is known of the second of two, and its page."""
    place, account = tmp_path_factory.mktemp("place"), Account()
    run(settings_of(bundle, events, place))
    recipe = {"n_items": 3, "n_pictures": 2, "users_per_part": 250, "cold": "average"}
    run(settings_of(bundle, events, place, date="2026-11-27", recipe=recipe), account=account)
    page = nightly_report(
        tmp_path_factory.mktemp("page") / "night.html",
        account,
        to=place,
        bundle=bundle,
        ending="Published.",
        core_hour_price=0.05,
    )
    return place, account, page


def test_counts_times_and_cost_stand_on_the_page(night):
    _, account, page = night
    rows = {row[0]: row[1:] for row in Page(page).rows}
    assert rows["Users due"] == ["201", "100 %"]
    assert rows["Users served"] == ["201", "100 %"]
    assert rows["Rows of the log"][0] == f"{account.log.n_rows:,}"
    assert rows["Users without a usable history"] == ["1", "0.5 %"]
    total = sum(account.seconds.values())
    share = 100 * account.seconds["making"] / total
    assert float(rows["Making the parts"][1].split()[0]) == pytest.approx(share, abs=0.6)
    hours = 1e6 * account.seconds["making"] / 402 * n_cpus() / 3600
    assert float(rows["Core-hours per million pictures"][0]) == pytest.approx(hours, abs=0.006)
    assert float(rows["Cost per million pictures"][0]) == pytest.approx(0.05 * hours, abs=0.006)
    assert rows["Run before"] == ["2026-11-26"]
    assert rows["Kernel"] == [account.kernel]
    assert rows["Setting cold"] == ["average"]


def test_some_users_are_shown_with_what_was_delivered_to_them(night, fitted):
    to, _, path = night
    page, table = Page(path), latest(to).table().to_pandas()
    images = [one for one in page.all("img") if "title" in one]
    assert len(images) == 24 * (3 + 2)
    users = table["user_id"].sort_values().unique()
    first = table[table["user_id"] == users[0]].sort_values("rank")
    photos = fitted.catalog_.photos[
        fitted.catalog_.photo_index[fitted.catalog_.items.find(first["item_id"])]
    ]
    made = [
        np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
        for encoded in first["image"].dropna()
    ]
    expected = np.stack([*photos, *made])
    for place, image in enumerate(images[:5]):
        distances = np.abs(decoded(image) - expected).mean(axis=(1, 2, 3))
        assert distances.argmin() == place
        assert distances[place] < 5  # it was encoded anew
    assert [one["alt"].split(":")[0] for one in images[:5]] == (
        ["Recommended"] * 3 + ["Generated"] * 2
    )


def test_ids_are_shown_and_never_obeyed(night):
    page = Page(night[2])
    assert f"{SCRIPT}0" in page.texts
    assert not page.all("script")
    assert "://" not in page.source.replace(str(night[0]), "")


def test_a_run_that_is_held_back_has_its_page(bundle, events, tmp_path):
    settings = tmp_path / "nightly.toml"
    settings.write_text(
        f'bundle = "{bundle}"\nevents = "{events}"\nto = "{tmp_path / "to"}"\n'
        "[gate]\nmax_constant = 0\nmax_saturated = 0\nmax_refused = 0\n"
        '[recipe]\ncold = "refuse"\nn_items = 3\nn_pictures = 2\n'
    )
    page = tmp_path / "deep" / "night.html"
    words = ["nightly", "--config", settings, "--date", "2026-11-26", "--report", page]
    outcome = command(*words)
    assert outcome.code == 9
    texts = Page(page).texts
    assert any(text.startswith("Not published: run 2026-11-26 was made") for text in texts)
    assert texts.count("Refused: no usable history") == 1
    assert len([one for one in Page(page).all("img") if "title" in one]) == 24 * 5
    assert command(*words, "--accept").code == 0
    assert f"Published at {tmp_path / 'to'}." in Page(page).texts
    assert any(row[0] == "Accepted" for row in Page(page).rows)


def test_a_job_that_ended_before_its_parts_has_no_page(bundle, tmp_path):
    with pytest.raises(InputError, match="without its parts"):
        nightly_report(tmp_path / "x.html", Account(), to=tmp_path, bundle=bundle, ending="")


def test_an_empty_night_has_a_page(bundle, events, tmp_path):
    account = Account()
    recipe = {"since": "2040-01-01T00:00:00Z"}
    settings = settings_of(bundle, events, tmp_path / "to", recipe=recipe, allow_empty=True)
    run(settings, account=account)
    path = nightly_report(
        tmp_path / "x.html", account, to=settings.to, bundle=bundle, ending="Published."
    )
    assert ["Users due", "0", "0 %"] in Page(path).rows
    assert QualityGateError.__name__ not in Page(path).source
