"""What a night may offer: items in stock, recalled ones, and what is known of users."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from command_line import REFUSED, done
from nightly_jobs import BEFORE, Nights
from nightly_runs import tree

from prodgen_rec import Personalizer
from prodgen_rec.errors import InputError, RunConflictError
from prodgen_rec.events import read_events
from prodgen_rec.nightly import NightlySettings, latest, run
from prodgen_rec.nightly.offer import UserRows

NIGHT = "2026-11-26"
NEW = {
    "new-1": "dress",
    "new-2": "mug",
    "new-3": "mug",
    "new-4": None,
    "new-5": None,
    "new-6": "boat",
}
"""Users of no history, and what they are known to like; no item is a boat."""


@pytest.fixture(scope="module")
def log(small_shop) -> pd.DataFrame:
    """Events of 40 users, and of new ones that took what the fit does not know."""
    frame = read_events(small_shop.events).to_pandas()
    columns = ["user_id", "item_id", "event", "timestamp", "quantity"]
    frame = frame.loc[frame["user_id"] < "user-00040", columns]
    frame = frame.astype({"user_id": str, "item_id": str, "event": str})
    cold = [frame.iloc[:1].assign(user_id=user, item_id="SKU-unheard") for user in NEW]
    return pd.concat([frame, *cold], ignore_index=True)


@pytest.fixture(scope="module")
def events(log, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("log") / "events.parquet"
    log.to_parquet(file, index=False)
    return file


@pytest.fixture(scope="module")
def types(fitted) -> pd.Series:
    """Type of each item of the catalogue."""
    catalog = fitted.catalog_
    return pd.Series(catalog.attributes["type"].to_numpy(), catalog.items.ids)


@pytest.fixture(scope="module")
def users(fitted, types) -> pd.DataFrame:
    """The type that each user of the fit took most of, and what new ones are known to like."""
    record = fitted.recommender_.interactions_
    of_items = pd.get_dummies(types.loc[record.items.ids]).astype(float)
    likes = of_items.columns[np.asarray(record.matrix @ of_items.to_numpy()).argmax(axis=1)]
    table = pd.DataFrame({"user_id": record.users.ids, "likes": likes})
    return pd.concat([table, pd.DataFrame({"user_id": [*NEW], "likes": [*NEW.values()]})])


@pytest.fixture(scope="module")
def taught(bundle, users, tmp_path_factory) -> Path:
    """The bundle, which has learned what users' attributes say."""
    path = tmp_path_factory.mktemp("taught") / "bundle"
    Personalizer.load(bundle).learn_newcomers(users[~users["user_id"].isin([*NEW])]).save(path)
    return path


@pytest.fixture(scope="module")
def people(users, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("people") / "users.csv"
    users.to_csv(file, index=False)
    return file


def settings_of(bundle: Path, events: Path, to: Path, **more) -> NightlySettings:
    recipe = {"users_per_part": 12, "n_items": 3, "n_pictures": 1, "image_format": "png"}
    recipe |= more.pop("recipe", {})
    gate = {"max_refused": 1, "max_cold": 1}
    return NightlySettings.read(
        bundle=bundle, events=str(events), to=str(to), date=NIGHT, recipe=recipe, gate=gate, **more
    )


def rows_of(place: Path) -> pd.DataFrame:
    table = latest(place).table().to_pandas()
    return table.sort_values(["user_id", "rank"], ignore_index=True)


def written(file: Path, ids) -> Path:
    """Ids, one on each line."""
    file.write_text("".join(f"{one}\n" for one in ids))
    return file


# Items ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stock(fitted) -> list[str]:
    """Every third item."""
    return list(fitted.recommender_.items_.ids[::3])


@pytest.fixture(scope="module")
def recalled(fitted, events, stock) -> list[str]:
    """What is in stock and would be recommended most."""
    lists = fitted.recommend(None, 3, events=events, candidates=stock, cold="popular")
    return list(lists["item_id"].value_counts().index[:5])


@pytest.fixture(scope="module")
def offered(bundle, events, stock, recalled, tmp_path_factory) -> tuple[NightlySettings, Path]:
    """A night of what is in stock and not recalled; not to be changed."""
    folder = tmp_path_factory.mktemp("offered")
    settings = settings_of(
        bundle,
        events,
        folder / "place",
        candidates=written(folder / "stock.txt", [*stock, "SKU-sold", "SKU-new"]),
        blocked=written(folder / "recalled.txt", recalled),
    )
    run(settings)
    return settings, folder / "place"


def test_lists_name_what_is_in_stock_and_not_recalled(offered, fitted, events, stock, recalled):
    _, place = offered
    table = rows_of(place)
    expected = fitted.recommend(
        sorted(table["user_id"].unique()), 3, events=events, candidates=stock, blocked=recalled,
        cold="popular",
    )  # fmt: skip
    assert set(table["item_id"]) <= set(stock) - set(recalled)
    assert table["item_id"].tolist() == expected["item_id"].tolist()
    assert np.array_equal(table["score"].to_numpy(np.float32), expected["score"])
    assert latest(place).manifest.counts.n_out == 46


def test_the_same_night_in_other_files_is_the_same(offered, stock, recalled, tmp_path):
    settings, published = offered
    place = Path(shutil.copytree(published, tmp_path / "place"))
    before = tree(place)
    table = pd.DataFrame({"price": 1.5, "item_id": [*stock[::-1], "SKU-other"]})
    table.to_parquet(tmp_path / "stock.parquet")
    pd.DataFrame({"item_id": recalled * 2}).to_csv(tmp_path / "recalled.csv")
    other = {
        "to": str(place),
        "candidates": tmp_path / "stock.parquet",
        "blocked": tmp_path / "recalled.csv",
    }
    assert run(settings.model_copy(update=other)).n_made == 0
    assert tree(place) == before


@pytest.mark.parametrize("setting", ["candidates", "blocked"])
def test_the_same_night_with_another_offer_is_refused(offered, stock, tmp_path, setting):
    settings, published = offered
    place = Path(shutil.copytree(published, tmp_path / "place"))
    before = tree(place)
    changed = {"to": str(place), setting: written(tmp_path / "other.txt", stock[:80:2])}
    for update in (changed, {"to": str(place), setting: None}):
        with pytest.raises(RunConflictError, match="inputs"):
            run(settings.model_copy(update=update))
    assert tree(place) == before


def test_an_interrupted_night_goes_on_or_begins_anew(offered, stock, tmp_path, monkeypatch):
    from prodgen_rec.nightly.writing import Run

    settings, published = offered
    writing = Run.write_part

    def interrupted(self, index, *arguments, **named):
        if index == 2:
            raise KeyboardInterrupt
        writing(self, index, *arguments, **named)

    def begun(place: Path, **update) -> NightlySettings:
        ours = settings.model_copy(update={"to": str(place), **update})
        with monkeypatch.context() as patch:
            patch.setattr(Run, "write_part", interrupted)
            with pytest.raises(KeyboardInterrupt):
                run(ours)
        return ours

    n_parts = latest(published).manifest.n_parts
    same = begun(tmp_path / "same")
    assert run(same).n_made == n_parts - 2
    assert tree(tmp_path / "same") == tree(published)

    begun(tmp_path / "anew", candidates=written(tmp_path / "other.txt", stock[::2]))
    assert run(settings.model_copy(update={"to": str(tmp_path / "anew")})).n_made == n_parts
    assert tree(tmp_path / "anew") == tree(published)


def test_items_can_be_kept_from_single_users(bundle, fitted, events, tmp_path):
    everyone = sorted(pd.read_parquet(events)["user_id"].unique())
    plain = fitted.recommend(everyone, 3, events=events, cold="popular")
    pairs = plain.loc[plain["rank"] < 3, ["user_id", "item_id"]]
    pairs = pairs[~pairs["user_id"].isin(everyone[::2])].rename(columns={"item_id": "sku"})
    more = pd.DataFrame({"user_id": ["user-00001"], "sku": ["SKU-sold"]})
    file = tmp_path / "pairs.csv"
    pd.concat([pairs, more, pairs]).to_csv(file, index=False)
    log = pd.read_parquet(events).rename(columns={"item_id": "sku"})
    log.to_parquet(tmp_path / "log.parquet")
    settings = settings_of(
        bundle, tmp_path / "log.parquet", tmp_path / "to", blocked=file, columns={"item_id": "sku"}
    )
    run(settings)
    table = rows_of(tmp_path / "to")
    blocked = pairs.groupby("user_id")["sku"].agg(list).to_dict()
    expected = fitted.recommend(everyone, 3, events=events, blocked=blocked, cold="popular")
    assert table["item_id"].tolist() == expected["item_id"].tolist()
    changed = (table["item_id"] != plain["item_id"]).to_numpy().reshape(-1, 3).any(axis=1)
    assert changed.tolist() == [i % 2 == 1 for i in range(len(everyone))]


def test_users_with_too_few_items_left_are_refused_and_counted(
    bundle, fitted, log, events, tmp_path
):
    """Who has three of the five items that are left does not get three more."""
    known = log[log["item_id"].isin(fitted.recommender_.items_.ids)]
    own = known.loc[known["user_id"] == "user-00003", "item_id"].unique()
    others = known.loc[~known["item_id"].isin(own), "item_id"].unique()
    stock, recalled = [*own[:3], *others[:3]], others[:1]
    settings = settings_of(
        bundle,
        events,
        tmp_path / "to",
        candidates=written(tmp_path / "stock.txt", stock),
        blocked=written(tmp_path / "recalled.txt", recalled),
    )
    run(settings)
    taken = log[log["item_id"].isin(set(stock) - set(recalled))]
    few = taken.groupby("user_id")["item_id"].nunique().loc[lambda n: n > 2].index
    counts = latest(tmp_path / "to").manifest.counts
    assert "user-00003" in few
    assert len(few) < 40
    assert counts.refused == {"fewer items left than asked for": len(few)}
    assert counts.n_in == 46 == counts.n_out + len(few)
    assert set(rows_of(tmp_path / "to")["user_id"]) == set(log["user_id"]) - set(few)


# Users ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known(taught, events, people, tmp_path_factory) -> tuple[NightlySettings, Path]:
    """A night that knows of new users what they like; not to be changed."""
    place = tmp_path_factory.mktemp("known") / "place"
    settings = settings_of(taught, events, place, users=people)
    run(settings)
    return settings, place


def test_the_taste_of_their_like_reaches_new_users(known, taught, fitted, types, events, users):
    _, place = known
    table = rows_of(place)
    liked = types.loc[table["item_id"]].to_numpy() == table["user_id"].map(NEW)
    for user in ("new-1", "new-2", "new-3"):
        assert liked[table["user_id"] == user].all()
    popular = fitted.recommend(["new-4"], 3, events=events, cold="popular")["item_id"].tolist()
    assert not (types.loc[popular] == "mug").all()
    for user in ("new-4", "new-5", "new-6"):
        assert table.loc[table["user_id"] == user, "item_id"].tolist() == popular
    assert set(table.loc[table["is_cold"], "user_id"]) == set(NEW)

    served, model = sorted(table["user_id"].unique()), Personalizer.load(taught)
    lists = model.recommend(served, 3, events=events, cold=users)
    made = model.imagine(served, 1, events=events, cold=users)
    assert table["item_id"].tolist() == lists["item_id"].tolist()
    shown = table[table["rank"] == 1]
    assert shown["looks_like"].tolist() == made.table["item_id"].tolist()


def test_who_has_a_history_is_served_by_that_alone(known, taught, events, tmp_path):
    run(settings_of(taught, events, tmp_path))
    plain, table = rows_of(tmp_path), rows_of(known[1])
    same = (plain == table) | (plain.isna() & table.isna())
    differ = set(plain.loc[~same.all(axis=1), "user_id"])
    assert differ == {"new-1", "new-2", "new-3"}


def test_what_is_known_of_users_determines_a_night(known, people, users, tmp_path):
    settings, published = known
    place = Path(shutil.copytree(published, tmp_path / "place"))
    settings = settings.model_copy(update={"to": str(place), "users": tmp_path / "users.parquet"})
    users[::-1].assign(shoe_size=44).to_parquet(tmp_path / "users.parquet", index=False)
    assert run(settings).n_made == 0
    users.replace({"likes": {"dress": "mug"}}).to_parquet(tmp_path / "users.parquet")
    with pytest.raises(RunConflictError, match="inputs"):
        run(settings)


def test_users_of_whom_something_is_known_are_not_refused_as_cold(taught, events, people, tmp_path):
    run(settings_of(taught, events, tmp_path, users=people, recipe={"cold": "refuse"}))
    assert latest(tmp_path).manifest.counts.refused == {"no usable history": 3}
    assert {"new-1", "new-2", "new-3"} <= set(rows_of(tmp_path)["user_id"])


def pictures(place: Path) -> pd.Series:
    """The picture of the first rank, by user."""
    table = rows_of(place)
    return table[table["rank"] == 1].set_index("user_id")["image"]


def test_new_users_share_pictures_with_those_who_are_like_them(
    taught, events, log, users, tmp_path
):
    """And users of equal histories do, whatever else is known of them."""
    twin = log[log["user_id"] == "user-00003"].assign(user_id="twin")
    pd.concat([log, twin]).to_parquet(tmp_path / "log.parquet", index=False)
    liking = users.loc[users["user_id"] == "user-00003", "likes"].item()
    other = pd.DataFrame({"user_id": ["twin"], "likes": "mug" if liking != "mug" else "dress"})
    pd.concat([users, other]).to_csv(tmp_path / "users.csv", index=False)
    settings = settings_of(
        taught,
        tmp_path / "log.parquet",
        tmp_path / "to",
        users=tmp_path / "users.csv",
        recipe={"share": "history"},
    )
    run(settings)
    shown = pictures(tmp_path / "to")
    assert shown["twin"] == shown["user-00003"]
    assert shown["new-2"] == shown["new-3"]
    assert shown["new-4"] == shown["new-5"] == shown["new-6"]
    assert len({shown["new-1"], shown["new-2"], shown["new-4"], shown["twin"]}) == 4


def test_new_users_belong_to_a_persona_by_what_is_known(taught, events, people, tmp_path):
    recipe = {"share": "personas", "n_personas": 8}
    run(settings_of(taught, events, tmp_path, users=people, recipe=recipe))
    shown = pictures(tmp_path)
    assert shown["new-2"] == shown["new-3"] != shown["new-4"] == shown["new-6"]
    warm = set(shown[[user for user in shown.index if user not in NEW]])
    assert shown["new-2"] in warm
    assert shown["new-4"] not in warm


# Refused before any work ---------------------------------------------------------------


@pytest.fixture(scope="module")
def published(taught, events, tmp_path_factory) -> Path:
    """A place where the night before is published; not to be changed."""
    nights = Nights(tmp_path_factory.mktemp("nights"), None, taught, events)
    nights.made(night=BEFORE)
    return nights.place


@pytest.fixture
def nights(published, taught, events, tmp_path) -> Nights:
    return Nights(tmp_path, published, taught, events)


@pytest.mark.parametrize("option", ["candidates", "blocked"])
@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("absent.txt", None, "there is no file {}; give a file of item ids"),
        ("empty.txt", b"", "{} holds no item ids"),
        ("header.csv", b"item_id,price\n", "{} holds no item ids"),
        ("other.csv", b"sku,price\n1,2\n", "{} has no column 'item_id'; it has sku, price"),
        ("hole.csv", b"item_id,price\n,2\n", "line 2 holds no item id; drop that line"),
        ("latin.csv", b"item_id\nM\xfctze\n", "{} cannot be read as CSV or lines of text"),
        ("broken.parquet", b"PAR1", "{} cannot be read as Parquet"),
        ("strange.txt", b"shoe\nhat\n", "the bundle knows none of the items of {}; ids of its own"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_used(nights, tmp_path, option, name, content, text):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    before = nights.tree()
    nights.refused(REFUSED, f"{option}: ", **{option: file})
    outcome = nights.refused(REFUSED, text.format(file), **{option: file})
    assert "Traceback" not in outcome.said
    assert nights.tree() == before


def test_lists_longer_than_what_is_left(nights, tmp_path, stock):
    text = "candidates, blocked: they leave 1 items for lists of 2 (recipe.n_items)"
    two = written(tmp_path / "two.txt", stock[:2])
    nights.refused(REFUSED, text, candidates=two, blocked=written(tmp_path / "one", stock[:1]))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "users: there is no {}"),
        ("", "{}: cannot be read as a table: "),
        ("user_id,likes\n", "{}: the table has no rows; at least one user is needed"),
        ("customer,likes\n1,mug\n", "{}: no column 'user_id'; its columns are 'customer', 'likes'"),
        ("user_id,like\n1,mug\n", "the table of users has no column 'likes'; near it: 'like'"),
        ("user_id,likes\n1,mug\n1,mug\n", "{}: 1 user ids appear more than once: 1 at rows 0, 1"),
        ("user_id,likes\n,mug\n", "{}: 1 of 1 user ids are empty"),
        ("user_id,likes\n1,boat\n", "users: {} says nothing of its 1 users that the bundle has"),
    ],
)
def test_a_table_of_users_that_cannot_be_used(nights, tmp_path, content, text):
    file = tmp_path / "users.csv"
    if content is not None:
        file.write_text(content)
    before = nights.tree()
    outcome = nights.refused(REFUSED, text.format(file), users=file)
    assert "Traceback" not in outcome.said
    assert nights.tree() == before


def test_a_bundle_that_has_learned_nothing_of_users(nights, bundle, people):
    text = f"users: {people} is a table of users' attributes, of which the bundle has learned"
    nights.refused(REFUSED, text, bundle=bundle, users=people)


def test_a_dry_run_and_a_run_name_the_files(nights, stock, people, tmp_path):
    file = written(tmp_path / "stock.txt", [*stock, "SKU-sold"])
    found = done(*nights.words("--json", "--dry-run", candidates=file, users=people)).json
    n_users = 203  # of 206: of two nothing is known, and of one that nobody else likes
    assert found["files"] == [
        {"setting": "candidates", "file": str(file), "what": "items", "n_known": len(stock),
         "n_unknown": 1},
        {"setting": "users", "file": str(people), "what": "users", "n_known": n_users,
         "n_unknown": 3},
    ]  # fmt: skip
    said = f"candidates: {len(stock)} items in {file}, and 1 of which the bundle knows nothing"
    assert said in done(*nights.words("--dry-run", candidates=file)).out
    page = tmp_path / "page.html"
    made = nights.made("--accept", "--report", page, candidates=file, users=people)
    assert made["files"] == found["files"]
    text = page.read_text()
    assert "candidates: items" in text
    assert "Reading files of items and users" in text


# Rows by user --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [int, str])
def test_rows_are_found_by_user(kind):
    rng = np.random.default_rng(0)
    owners, numbers = rng.integers(40, size=300), rng.integers(5, size=(300, 2))
    rows = UserRows.of(pa.array([str(one) for one in owners]), numbers)
    asked = rng.permutation(60)
    owner, found = rows.find(pa.array([kind(one) for one in asked]))
    expected = {(i, *row) for i, row in zip(owners.tolist(), numbers.tolist(), strict=True)}
    expected = {(i, *row) for i, *row in expected if i in asked}
    assert len(found) == len(expected)
    assert {(int(asked[i]), *row.tolist()) for i, row in zip(owner, found, strict=True)} == expected


def test_a_file_that_shrinks_while_it_is_read(bundle, events, tmp_path, monkeypatch):
    from prodgen_rec.id_files import IdFile

    file = tmp_path / "pairs.parquet"
    pairs = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["SKU-00001", "SKU-00002"]})
    pairs.to_parquet(file)
    ids = IdFile.ids

    def read(self, *arguments):
        found = ids(self, *arguments)
        pairs[:1].to_parquet(file)
        return found

    monkeypatch.setattr(IdFile, "ids", read)
    with pytest.raises(InputError, match="was changed while it was being read; run again"):
        run(settings_of(bundle, events, tmp_path / "to", blocked=file))
