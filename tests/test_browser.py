"""Pages of a shop whose every word wants to be obeyed, opened in a browser."""

from __future__ import annotations

import re
from html import unescape
from itertools import cycle, islice
from pathlib import Path

import pandas as pd
import pytest
from command_line import done
from pages import CHROMIUM, HOSTILE, in_browser, section_of
from settings import PLAIN

from prodgen_rec import Personalizer, PersonalizerConfig, datasets, read_catalog
from prodgen_rec.display import write_report
from prodgen_rec.events import read_events

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")

SMALL = {"preferences": {"factors": 8}, "imagery": PLAIN | {"size": 32, "width": 8}}
SHOWN = {
    "gallery": ("user", "title"),
    "inspect": ("item", "type"),
    "nightly": ("user", "title"),
    "report": ("report",),
}
"""Pages that this project writes, and what of a shop they say."""


def said(kind: str) -> list[str]:
    """Hostile texts that can be told from those of other kinds; as a comment, for obedience."""
    return [f"{text}//{kind}" for text in HOSTILE]


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """Log, items and bundle of a shop with hostile users, titles, types, and items that all saw."""
    folder = tmp_path_factory.mktemp("shop")
    files = datasets.write_shop(folder / "files", n_items=60, n_users=20, n_weeks=6, seed=0)
    log, items = read_events(files.events).to_pandas(), pd.read_csv(files.items)
    new_users = dict(zip(log["user_id"].unique(), said("user"), strict=False))
    new_items = dict(zip(items["item_id"], said("item"), strict=False))
    items = items.assign(
        item_id=items["item_id"].replace(new_items),
        title=list(islice(cycle(said("title")), len(items))),
        type=list(islice(cycle(said("type")), len(items))),
    )
    log = log.replace({"user_id": new_users, "item_id": new_items})
    views = log.drop_duplicates("user_id").drop(columns="item_id")
    views = views.merge(items[["item_id"]].head(len(HOSTILE)), how="cross")
    pd.concat([log, views]).to_csv(folder / "log.csv", index=False)
    items.to_csv(folder / "items.csv", index=False)
    catalog = read_catalog(folder / "items.csv", files.photos, size=32, progress=False)
    personalizer = Personalizer(PersonalizerConfig.parse(SMALL), seed=0)
    personalizer.fit(folder / "log.csv", catalog, steps=2, progress=False)
    personalizer.save(folder / "bundle")
    return folder


@pytest.fixture(scope="module")
def pages(shop, tmp_path_factory) -> dict[str, Path]:
    """Each page, as its command writes it."""
    out = tmp_path_factory.mktemp("pages")
    log, bundle = ("--events", shop / "log.csv"), ("--bundle", shop / "bundle")
    title = said("gallery")[0]
    done("gallery", *bundle, *log, "--out", out / "gallery", "--title", title)
    done("inspect", *log, "--items", shop / "items.csv", "--out", out / "inspect")
    night = ("--to", out / "runs", "--date", "2026-11-26", "--report", out / "nightly.html")
    done("nightly", *bundle, *log, *night, "--accept")
    (title, *_), sections = said("report"), [section_of(text) for text in said("report")]
    report = write_report(out / "report.html", sections, title=title, summary={title: title})
    return {
        "gallery": out / "gallery" / "index.html",
        "inspect": out / "inspect" / "index.html",
        "nightly": out / "nightly.html",
        "report": report,
    }


@pytest.mark.parametrize("name", SHOWN)
def test_a_browser_shows_what_is_said_and_runs_nothing_of_it(pages, tmp_path, name):
    seen = in_browser(pages[name], tmp_path)
    assert not seen.obeyed
    assert not seen.all("script")
    assert not any(attribute.startswith("on") for attribute in seen.attribute_names)
    assert all(image["src"].startswith("data:image/") for image in seen.all("img"))
    assert all(link["href"].startswith("#") for link in seen.all("a"))
    shown = {*seen.texts, *(image.get("title") for image in seen.all("img"))}
    for kind in SHOWN[name]:
        assert set(said(kind)) <= shown


@pytest.mark.parametrize(
    ("escaped", "policy"), [(True, False), (False, True), (False, False)],
    ids=["escaping alone", "policy alone", "neither"],
)  # fmt: skip
def test_escaping_or_the_policy_alone_keeps_words_from_being_obeyed(
    pages, tmp_path, escaped, policy
):
    """Without either, words are obeyed: what the test above looks for can be seen."""
    text = pages["gallery"].read_text("utf-8")
    if not escaped:
        text = unescape(text)
    if not policy:
        text, n_policies = re.subn('<meta http-equiv="Content-Security-Policy".*?>', "", text)
        assert n_policies == 1
    (tmp_path / "page.html").write_text(text, "utf-8")
    assert in_browser(tmp_path / "page.html", tmp_path).obeyed == (not escaped and not policy)
