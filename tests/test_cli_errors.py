"""Bad input to the commands: one sentence that says what to do, an exit code, nothing written."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import (
    BUNDLE,
    FILES,
    REFUSED,
    WRONG_USAGE,
    assert_refused,
    contents,
    process,
    run,
)  # fmt: skip

from prodgen_rec.catalog.catalog import Catalog, PhotoReport
from prodgen_rec.cli.outputs import spreadsheet_safe
from prodgen_rec.ids import IdMap

HEADER = "user_id,item_id,event,timestamp\n"


@pytest.fixture
def place(tmp_path):
    """Where results go: something of value stands there already."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "old.parquet").write_bytes(b"last night's")
    return folder


@pytest.fixture
def fit(small_shop, bundle, tmp_path):
    """Run fit on the small shop, with some files or options changed, over an older bundle."""
    out = tmp_path / "shop.bundle"
    shutil.copytree(bundle, out)
    before = contents(out)

    def fit_with(*words, **files):
        files = {
            "events": small_shop.events,
            "items": small_shop.items,
            "photos": small_shop.photos,
            "out": out,
        } | files
        named = [word for name, path in files.items() for word in (f"--{name}", path)]
        outcome = run("fit", "--steps", 2, "--size", 32, *named, *words)
        assert contents(out) == before
        return outcome

    return fit_with


@pytest.fixture
def recommend(small_shop, bundle, place):
    def recommend_with(*words, **files):
        files = {
            "bundle": bundle,
            "events": small_shop.events,
            "out": place / "old.parquet",
        } | files
        named = [word for name, path in files.items() for word in (f"--{name}", path)]
        outcome = run("recommend", *named, *words)
        assert contents(place) == {"old.parquet": b"last night's"}
        return outcome

    return recommend_with


@pytest.fixture
def evaluate(small_shop, bundle, place):
    def evaluate_with(**files):
        files = {
            "bundle": bundle,
            "events": small_shop.events,
            "holdout": small_shop.holdout,
            "out": place,
        } | files
        named = [word for name, path in files.items() for word in (f"--{name}", path)]
        outcome = run("evaluate", *named)
        assert contents(place) == {"old.parquet": b"last night's"}
        return outcome

    return evaluate_with


def truncated(source, path):
    """A Parquet file that ends in the middle."""
    table = pa.table({"user_id": ["a"] * 1000, "item_id": ["b"] * 1000})
    pq.write_table(table, path)
    path.write_bytes(path.read_bytes()[:-100])
    return path


# Logs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "log.csv is empty; expected a header line and rows of events"),
        (HEADER.encode(), "log.csv: the log is empty; expected at least one event"),
        (
            b"customer,item_id,event,timestamp\n1,2,view,2024-01-01\n",
            "missing column 'user_id'; present: customer, item_id, event, timestamp",
        ),
        (
            HEADER.encode() + b"1,2,gazed,2024-01-01\n2,3,gazed,2024-01-02\n",
            "2 of 2 rows are bad and no good row is left; most often: unknown event (2)",
        ),
        (bytes(range(255, -1, -1)) * 40, "log.csv: the header is not UTF-8"),
    ],
)
def test_a_log_that_cannot_be_used(fit, tmp_path, content, text):
    log = tmp_path / "log.csv"
    log.write_bytes(content)
    assert_refused(fit(events=log), REFUSED, text)


def test_a_log_with_too_many_bad_rows(fit):
    outcome = fit("--max-bad-fraction", 0.001)
    assert_refused(
        outcome, REFUSED, "35 of 6,992 rows are bad and max_bad_fraction is 0.001; most often"
    )


def test_events_without_a_weight_are_bad_rows(fit):
    outcome = fit("--event-weights", "purchase=5")
    assert_refused(
        outcome, REFUSED, "known are purchase; name the log's own events in event_weights"
    )


# Catalogues ----------------------------------------------------------------------------


def test_item_ids_that_repeat(fit, small_shop, tmp_path):
    items = pd.read_csv(small_shop.items)
    pd.concat([items, items[2:3]]).to_csv(tmp_path / "items.csv", index=False)
    outcome = fit(items=tmp_path / "items.csv")
    assert_refused(outcome, REFUSED, "1 item ids appear more than once: 'SKU-00002' at rows 2, 240")


def test_a_folder_without_photos(fit, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "readme.txt").write_text("none yet")
    outcome = fit(photos=tmp_path / "photos")
    assert_refused(
        outcome, REFUSED, f"photos: {tmp_path / 'photos'} holds no photo; expected files"
    )


def test_photos_of_other_items(fit, small_shop, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(small_shop.photos / "SKU-00001.jpg", photos / "1.jpg")
    assert_refused(fit(photos=photos), REFUSED, "240 of 240 items have no usable photo")


@pytest.mark.parametrize(("in_log", "in_catalog"), [("A{}", "B{}"), ("00{}", "{}"), ("{}", "00{}")])
def test_a_log_and_a_catalogue_without_a_common_id(fit, small_shop, tmp_path, in_log, in_catalog):
    log, items, photos = (tmp_path / name for name in ("log.csv", "items.csv", "photos"))
    photos.mkdir()
    numbers = range(1, 4)
    rows = [f"{user},{in_log.format(i)},purchase,2024-01-0{i}\n" for i in numbers for user in "ab"]
    log.write_text(HEADER + "".join(rows))
    items.write_text("item_id\n" + "".join(f"{in_catalog.format(i)}\n" for i in numbers))
    for i in numbers:
        shutil.copy(small_shop.photos / "SKU-00001.jpg", photos / f"{in_catalog.format(i)}.jpg")
    first = [f"{name.format(1)}" for name in (in_log, in_catalog)]
    looks = [one if one.isdecimal() and one[0] != "0" else repr(one) for one in first]
    assert_refused(
        fit(events=log, items=items, photos=photos),
        REFUSED,
        "none of the 3 items of the log has a photo in the catalogue; ids of the log look like "
        f"{looks[0]}, of the catalogue like {looks[1]}",
    )


# Paths ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("events", "there is no '{}'"),
        ("items", "items: there is no {}"),
        ("photos", "photos: there is no {}"),
        ("config", "--config: there is no file {}"),
    ],
)
def test_fit_names_a_path_that_leads_nowhere(fit, tmp_path, name, text):
    missing = tmp_path / "nowhere.csv"
    assert_refused(fit(**{name: missing}), REFUSED, text.format(missing))


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("bundle", BUNDLE, "{} is no bundle: it holds no bundle.json"),
        ("events", REFUSED, "there is no '{}'"),
        ("users", REFUSED, "--users: there is no file {}; give a file of user ids, or all"),
    ],
)
def test_recommend_names_a_path_that_leads_nowhere(recommend, tmp_path, name, code, text):
    missing = tmp_path / "nowhere.csv"
    assert_refused(recommend(**{name: missing}), code, text.format(missing))


@pytest.mark.parametrize(
    ("name", "text"), [("holdout", "there is no '{}'"), ("truth", "--truth: there is no file {}")]
)
def test_evaluate_names_a_path_that_leads_nowhere(evaluate, tmp_path, name, text):
    missing = tmp_path / "nowhere.csv"
    assert_refused(evaluate(**{name: missing}), REFUSED, text.format(missing))


def test_a_bundle_does_not_replace_what_is_none(fit, place):
    assert_refused(fit(out=place), BUNDLE, f"{place} exists and is no bundle; choose another place")
    file = place / "old.parquet"
    assert_refused(fit(out=file), BUNDLE, f"{file} exists and is no bundle; choose another place")
    assert_refused(fit(out=file / "new"), REFUSED, f"--out: {file} is a file; expected a folder")
    assert contents(place) == {"old.parquet": b"last night's"}


def test_a_bundle_may_be_written_to_the_folder_one_stands_in(fit, tmp_path, monkeypatch, bundle):
    shutil.copytree(bundle, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    assert_refused(
        fit("--seed", 1, out=".", photos="nowhere"), REFUSED, "photos: there is no nowhere"
    )


@pytest.mark.parametrize("command", ["recommend", "imagine"])
def test_tables_are_not_written_just_anywhere(command, bundle, small_shop, place):
    def to(out):
        return run(command, "--bundle", bundle, "--events", small_shop.events, "--out", out)

    assert_refused(
        to(place / "x.csv"), REFUSED, "x.csv must end in .parquet, the format that is written"
    )
    inside = place / "old.parquet" / "x.parquet"
    assert_refused(
        to(inside), REFUSED, f"--out: {place / 'old.parquet'} is a file; expected a folder"
    )
    (place / "folder.parquet").mkdir()
    assert_refused(
        to(place / "folder.parquet"), REFUSED, "folder.parquet is a folder; expected the name"
    )
    assert contents(place) == {"old.parquet": b"last night's"}


@pytest.mark.parametrize(
    ("conditions", "complaint"),
    [
        ("type", "--conditions: 'type' is not of the form name=value"),
        ("type=mugs", "no item had type = 'mugs'; near it: 'mug'"),
        ("sort=mug", "pictures cannot be asked for by 'sort'"),
    ],
)
def test_nobody_gets_what_no_item_is(conditions, complaint, bundle, small_shop, place):
    out = place / "old.parquet"
    words = ("imagine", "--bundle", bundle, "--events", small_shop.events, "--out", out)
    assert_refused(run(*words, "--conditions", conditions), REFUSED, complaint)
    assert contents(place) == {"old.parquet": b"last night's"}


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        (None, "--items: there is no file"),
        ("", "holds no item ids"),
        ("a,b\n1,2\n", "has no column 'item_id'; it has a, b; name the one with the item ids"),
        ("SKU-00001\nSKU-77777\n", "'SKU-77777'"),
    ],
)
def test_only_items_of_the_catalogue_are_illustrated(items, complaint, bundle, place, tmp_path):
    path = tmp_path / "items.csv"
    if items is not None:
        path.write_text(items)
    out = place / "old.parquet"
    words = ("illustrate", "--bundle", bundle, "--out", out, "--items", path)
    assert_refused(run(*words), REFUSED, complaint)
    assert contents(place) == {"old.parquet": b"last night's"}


def test_a_shop_that_lacks_no_photo_needs_no_substitutes(fitted, place, tmp_path):
    catalog = fitted.catalog_
    whole = IdMap.of(catalog.with_photo())
    rows = catalog.items.index(whole.arrow)
    pictured = replace(
        fitted._fitted(),
        catalog=Catalog(
            whole,
            catalog.attributes.iloc[rows].reset_index(drop=True),
            catalog.photos,
            catalog.photo_index[rows],
            PhotoReport(len(whole), len(whole)),
        ),
    )
    pictured.save(tmp_path / "pictured.bundle")
    out = place / "old.parquet"
    words = ("illustrate", "--bundle", tmp_path / "pictured.bundle", "--out", out)
    assert_refused(run(*words), REFUSED, "pictured.bundle has a photo; name items in a file")
    assert contents(place) == {"old.parquet": b"last night's"}


@pytest.mark.parametrize("command", ["evaluate", "gallery"])
def test_folders_are_not_written_over_files(command, bundle, small_shop, place):
    words = [command, "--bundle", bundle, "--events", small_shop.events]
    words += ["--holdout", small_shop.holdout] * (command == "evaluate")
    file = place / "old.parquet"
    assert_refused(
        run(*words, "--out", file), REFUSED, f"--out: {file} is a file; expected a folder"
    )
    assert contents(place) == {"old.parquet": b"last night's"}


# Files that are not what they are taken for --------------------------------------------


def test_a_damaged_parquet_file_is_named(fit, recommend, evaluate, tmp_path):
    path = truncated(pa, tmp_path / "half.parquet")
    assert_refused(fit(events=path), REFUSED, f"{path} cannot be read")
    assert_refused(fit(items=path), REFUSED, f"{path}: cannot be read as a table")
    assert_refused(fit(photos=path), REFUSED, f"photos: {path} cannot be read as Parquet")
    assert_refused(recommend(users=path), REFUSED, f"--users: {path} cannot be read as Parquet")
    assert_refused(evaluate(holdout=path), REFUSED, f"{path} cannot be read")
    # A mapping makes the command look at headers before the file is read.
    renamed = recommend("--columns", "user_id=uid,item_id=sku", events=path)
    assert_refused(renamed, REFUSED, f"{path} cannot be read")


def test_binary_garbage_is_named(fit, recommend, evaluate, tmp_path):
    path = tmp_path / "garbage.csv"
    path.write_bytes(bytes(range(255, -1, -1)) * 20)
    assert_refused(fit(items=path), REFUSED, f"{path}: cannot be read as a table")
    assert_refused(fit(config=path), REFUSED, f"--config: {path} is no valid TOML")
    assert_refused(
        recommend(users=path), REFUSED, f"--users: {path} cannot be read as CSV or lines"
    )
    assert_refused(evaluate(holdout=path), REFUSED, f"{path}: the header is not UTF-8")
    assert_refused(evaluate(truth=path), REFUSED, f"--truth: {path} cannot be read as CSV")


def test_a_folder_in_place_of_a_file_is_named(fit, recommend, evaluate, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    assert_refused(fit(config=folder), REFUSED, f"--config: there is no file {folder}")
    assert_refused(recommend(users=folder), REFUSED, f"--users: there is no file {folder}")
    assert_refused(evaluate(truth=folder), REFUSED, f"--truth: there is no file {folder}")
    assert_refused(evaluate(holdout=folder), REFUSED, f"there are no files in '{folder}'")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", " holds no user ids"),
        ("user_id\n", " holds no user ids"),
        ("customer,age\n1,20\n", " has no column 'user_id'; it has customer, age; name the one"),
        ("age,user_id\n20,a\n21\n", ": line 3 holds no user id; drop that line"),
        ("age,user_id\n20,a\n\n21, \n", ": line 4 holds no user id; drop that line"),
    ],
)
def test_a_file_of_users_that_cannot_be_used(recommend, tmp_path, content, text):
    users = tmp_path / "users.csv"
    users.write_text(content)
    assert_refused(recommend(users=users), REFUSED, f"--users: {users}{text}")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"uid": ["a"]}, "has no column 'user_id'; it has uid; name the one with the user ids"),
        ({"user_id": ["a", None]}, "1 of 2 ids are null"),
        ({"user_id": [0.5]}, "ids must be int or str, these are double"),
    ],
)
def test_a_table_of_users_that_cannot_be_used(recommend, tmp_path, table, text):
    users = tmp_path / "users.parquet"
    pq.write_table(pa.table(table), users)
    assert_refused(recommend(users=users), REFUSED, text)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("user_id,value\na,b\n", "has no column attribute; expected user_id, attribute, value"),
        ("user_id,attribute,value\n", "has no rows; expected user_id, attribute, value"),
        ("", "cannot be read as CSV: No columns to parse from file"),
    ],
)
def test_tastes_that_cannot_be_used(evaluate, tmp_path, content, text):
    truth = tmp_path / "truth.csv"
    truth.write_text(content)
    assert_refused(evaluate(truth=truth), REFUSED, f"--truth: {truth} {text}")


def test_tastes_for_what_the_catalogue_does_not_know(evaluate, tmp_path):
    truth = tmp_path / "truth.csv"
    truth.write_text("user_id,attribute,value\nuser-00001,smell,rose\n")
    assert_refused(
        evaluate(truth=truth), REFUSED, "the catalogue has no attribute smell; it has type"
    )


# Settings and options ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.toml", "[imagery]\nwidht = 8\n", "setting imagery.widht = 8: extra inputs are not"),
        ("a.toml", "[imagery]\nwidth = 1\n", "setting imagery.width = 1: input should be greater"),
        ("a.toml", "imagery = 3\n", "setting imagery = 3: input should be a valid dictionary"),
        ("a.json", '{"half_life": 3}', "setting half_life = 3: extra inputs are not permitted"),
        ("a.json", "[1]", "must hold named settings, such as"),
        ("a.json", "{", "is no valid JSON: Expecting property name"),
        ("a.toml", "a = \n", "is no valid TOML: Invalid value (at line 1, column 5)"),
    ],
)
def test_settings_that_are_none(fit, tmp_path, name, content, text):
    config = tmp_path / name
    config.write_text(content)
    assert_refused(fit(config=config), REFUSED, text)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--size", 50), REFUSED, "size must be 16, 32, 64 or 128, got 50"),
        (("--minutes", 3), WRONG_USAGE, "--minutes and --steps are both given; give one of them"),
        (("--minutes", -1), WRONG_USAGE, "-1 is not a number above 0"),
        (("--minutes", "nan"), WRONG_USAGE, "nan is not a number above 0"),
        (("--steps", 0), WRONG_USAGE, "Invalid value for '--steps'"),
        (("--seed", -1), WRONG_USAGE, "Invalid value for '--seed'"),
        (("--max-bad-fraction", 2), WRONG_USAGE, "Invalid value for '--max-bad-fraction'"),
        (("--columns", "uid"), REFUSED, "--columns: 'uid' is not of the form name=value"),
        (("--columns", "user=uid"), REFUSED, "--columns: 'user' is none of our columns, which are"),
        (("--columns", "user_id=a,user_id=b"), REFUSED, "--columns: 'user_id' is given twice"),
        (
            ("--columns", "price=cost"),
            REFUSED,
            "--columns: no file has a column 'cost', which was to",
        ),
        (("--event-weights", "view=much"), REFUSED, "the weight of 'view' is 'much'; expected a"),
        (("--event-weights", "view=nan"), REFUSED, "view"),
        (("--sise", 32), WRONG_USAGE, "No such option: --sise"),
    ],
)
def test_options_of_fit_that_make_no_sense(fit, words, code, text):
    assert_refused(fit(*words), code, text)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--n", 0), WRONG_USAGE, "Invalid value for '--n'"),
        (("--n", 241), REFUSED, "n = 241"),
        (("--cold", "warm"), WRONG_USAGE, "'warm' is not one of 'popular', 'error'"),
        (("--quota", "type"), REFUSED, "--quota: 'type' is not of the form name=value"),
        (("--quota", "type=0"), REFUSED, "--quota: '0' items of one type; expected a whole number"),
        (("--quota", "type=1.5"), REFUSED, "--quota: '1.5' items of one type; expected a whole"),
        (("--quota", "type=2,color=2"), REFUSED, "--quota: type, color: expected one column"),
        (("--quota", "sort=2"), REFUSED, "the bundle has no column 'sort'; it has type, color"),
        (("--quota", "type=1"), REFUSED, "remain are within the quota of 1 per group: ask for no"),
    ],
)
def test_options_of_recommend_that_make_no_sense(recommend, words, code, text):
    assert_refused(recommend(*words), code, text)


def test_a_command_that_is_none():
    assert_refused(run("recomend"), WRONG_USAGE, "No such command 'recomend'")


def test_users_without_history_are_refused_on_request(recommend, tmp_path):
    users = tmp_path / "users.txt"
    users.write_text("user-00001\nnobody\n")
    outcome = recommend("--cold", "error", users=users)
    assert_refused(outcome, REFUSED, "1 of 2 users have no usable history, the first is 'nobody'")


@pytest.mark.parametrize(
    ("changed", "code", "text"),
    [
        ({"bundle": "nowhere"}, BUNDLE, "nowhere is no bundle: it holds no bundle.json"),
        ({"events": "nowhere.csv"}, REFUSED, "there is no 'nowhere.csv'"),
        ({"user": "nobody"}, REFUSED, "events.csv holds no 'nobody' among its"),
        ({"item": "nothing"}, REFUSED, "--item: the log of the fit holds no 'nothing' among its"),
        ({"columns": "price=cost"}, REFUSED, "--columns: no file has a column 'cost'"),
    ],
)
def test_what_cannot_be_explained(bundle, small_shop, changed, code, text):
    options = {"bundle": bundle, "events": small_shop.events, "user": "user-00001"}
    options |= {"item": "SKU-00007"} | changed
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert_refused(run("explain", *words), code, text)


def test_a_user_without_history_has_nothing_that_explains(bundle, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text(HEADER + "new,ghost,purchase,2025-01-01\n")
    words = ("explain", "--bundle", bundle, "--events", log, "--user", "new", "--item", "SKU-00007")
    assert_refused(run(*words), REFUSED, "--user: new has no usable history, no positive event on")


# Bundles -------------------------------------------------------------------------------


def test_a_bundle_with_one_flipped_bit(recommend, bundle, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    part = max(damaged.rglob("*.npz"), key=lambda file: file.stat().st_size)
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    name = part.relative_to(damaged).as_posix()
    assert_refused(
        recommend(bundle=damaged), BUNDLE, f"part {name} is damaged, its content does not"
    )


def test_a_bundle_of_a_newer_version(recommend, bundle, tmp_path):
    newer = tmp_path / "newer"
    shutil.copytree(bundle, newer)
    about = json.loads((newer / "bundle.json").read_text())
    (newer / "bundle.json").write_text(json.dumps(about | {"format": 99, "library": "9.0"}))
    text = "bundle format 99 was written by prodgen-rec 9.0; this is "
    assert_refused(recommend(bundle=newer), BUNDLE, text)


# Tables that spreadsheets open -----------------------------------------------------------


def test_no_cell_of_a_csv_file_is_a_formula():
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a=1", "", "'"]
    table = spreadsheet_safe(pd.DataFrame({"attribute": texts, "value": -0.5}))
    assert table["attribute"].tolist() == [f"'{text}" for text in texts[:6]] + texts[6:]
    assert (table["value"] == -0.5).all()


# Full disks ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_disk_leaves_what_was_there(bundle, small_shop, place, tmp_path):
    """The system refuses every file above 50 kB, as a disk does that is about full."""
    start = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
from prodgen_rec.cli import main
main()
"""
    table = place / "old.parquet"
    log = small_shop.events
    served = process(
        "recommend", "--bundle", bundle, "--events", log, "--out", table, "--n", 100, start=start
    )
    assert_refused(served, FILES, f"{table}: File too large; what stood there is intact: make room")
    assert contents(place) == {"old.parquet": b"last night's"}
    assert os.listdir(place) == ["old.parquet"]

    out = tmp_path / "shop.bundle"
    shutil.copytree(bundle, out)
    fitted = process(
        "fit", "--events", log, "--items", small_shop.items, "--photos", small_shop.photos,
        "--out", out, "--size", 32, "--steps", 2, start=start,
    )  # fmt: skip
    assert_refused(fitted, FILES, "photos cannot be written: File too large; make room")
    assert contents(out) == contents(bundle)
