"""Nights made from bad input: what is refused, what is left out and counted, what is held back."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bundles import rewrite
from command_line import BUNDLE, REFUSED, done
from nightly_jobs import BEFORE, GATE, NIGHT, NOBODY_DUE, Nights

from prodgen_rec import ALS, Personalizer
from prodgen_rec.events import read_events
from prodgen_rec.events.reasons import Reason
from prodgen_rec.nightly import latest, verify
from prodgen_rec.storage import load_arrays


@pytest.fixture(scope="module")
def log(small_shop) -> pd.DataFrame:
    """Good events of 60 users."""
    frame = read_events(small_shop.events).to_pandas()
    columns = ["user_id", "item_id", "event", "timestamp", "quantity"]
    frame = frame.loc[frame["user_id"] < "user-00060", columns]
    return frame.astype({"user_id": str, "item_id": str, "event": str}).reset_index(drop=True)


@pytest.fixture(scope="module")
def events(log, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("log") / "events.parquet"
    log.to_parquet(file, index=False)
    return file


@pytest.fixture(scope="module")
def published(bundle, events, tmp_path_factory) -> Path:
    """A place where the night before is published; not to be changed."""
    nights = Nights(tmp_path_factory.mktemp("nights"), None, bundle, events)
    nights.made(night=BEFORE)
    return nights.place


@pytest.fixture
def nights(published, bundle, events, tmp_path) -> Nights:
    return Nights(tmp_path, published, bundle, events)


# Logs ----------------------------------------------------------------------------------


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flipped(file: Path, at: float = 0.5) -> None:
    content = bytearray(file.read_bytes())
    content[int(len(content) * at)] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (truncated, "cannot be read"),
        (flipped, "cannot be read"),
        (lambda file: file.write_bytes(b""), "cannot be read"),
        (Path.unlink, "there is no"),
    ],
)
@pytest.mark.parametrize("among_others", [False, True])
def test_a_damaged_log_is_named(nights, log, tmp_path, damage, text, among_others):
    if among_others and damage is Path.unlink:
        pytest.skip("a file that is not there is in no folder")
    folder = tmp_path / "log"
    folder.mkdir()
    file = folder / "2.parquet"
    pq.write_table(pa.Table.from_pandas(log), file, write_page_checksum=True)
    if among_others:
        shutil.copy(file, folder / "1.parquet")
    damage(file)
    outcome = nights.refused(REFUSED, text, events=folder if among_others else file)
    assert "2.parquet" in outcome.said


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda log: log.iloc[:0], "the log is empty; expected at least one event"),
        (lambda log: log.rename(columns={"item_id": "sku"}), "missing column 'item_id'"),
        (lambda log: log.assign(event="gazed"), "no good row is left; most often: unknown event"),
        (lambda log: log.assign(user_id=log["user_id"].where(log.index % 2 == 0)), "missing id"),
        (lambda log: log.assign(timestamp="1907-01-01"), "timestamp before 1990"),
        (lambda log: log.assign(timestamp="2199-01-01"), "timestamp in the future"),
    ],
)
def test_a_log_that_cannot_be_believed(nights, log, tmp_path, change, text):
    file = tmp_path / "log.csv"
    change(log).to_csv(file, index=False)
    nights.refused(REFUSED, text, events=file)


BAD_LINES = {
    Reason.INVALID_UTF8: [b"\xff\xfe,SKU-00001,view,2025-03-03T08:00:00Z,1"],
    Reason.COLUMN_COUNT: [b"user-00001,SKU-00001,view", b"user-00001,SKU-00001,view,,,,,"],
    Reason.MISSING_ID: [b",SKU-00001,view,2025-03-03,1", b"nan,SKU-00001,view,2025-03-03,1"],
    Reason.UNSAFE_ID: [b"x" * 513 + b",SKU-00001,view,2025-03-03,1"],
    Reason.UNKNOWN_EVENT: [b"user-00001,SKU-00001,gazed,2025-03-03,1"],
    Reason.UNREADABLE_TIMESTAMP: [b"user-00001,SKU-00001,view,yesterday,1"],
    Reason.OLD_TIMESTAMP: [b"user-00001,SKU-00001,view,1907-01-01,1"],
    Reason.FUTURE_TIMESTAMP: [b"user-00001,SKU-00001,view,2199-01-01,1"],
    Reason.BAD_QUANTITY: [
        b"user-00001,SKU-00001,view,2025-03-03,-1",
        b"user-00001,SKU-00001,view,2025-03-03,inf",
    ],
}
"""Lines of a CSV log by what is wrong with them."""


def test_bad_rows_are_counted_with_their_reasons_and_change_nothing_else(nights, log, tmp_path):
    file = tmp_path / "log.csv"
    log.to_csv(file, index=False)
    bad = [line for lines in BAD_LINES.values() for line in lines]
    file.write_bytes(file.read_bytes() + b"\n".join(bad) + b"\n")
    before = latest(nights.place).table()
    found = nights.made(events=file)
    assert found["log"]["rows"] == len(log) + len(bad)
    assert found["log"]["reasons"] == {why.value: len(lines) for why, lines in BAD_LINES.items()}
    assert latest(nights.place).table().equals(before)


def test_numbers_that_are_no_ids_are_left_out(nights, log, tmp_path):
    users = log["user_id"].str[-2:].astype(float)
    odd = [np.nan, np.inf, -np.inf, 2.0**60, 1e300, 2.5]
    rows = pd.concat([log.assign(user_id=users), log.iloc[: len(odd)].assign(user_id=odd)])
    rows.to_parquet(tmp_path / "log.parquet", index=False)
    found = nights.made(events=tmp_path / "log.parquet")
    reasons = {Reason.MISSING_ID.value: 1, Reason.FRACTIONAL_ID.value: len(odd) - 1}
    assert found["log"]["reasons"] == reasons
    delivered = latest(nights.place).table()["user_id"]
    assert delivered.type == pa.int64()
    assert set(delivered.to_pylist()) == set(users.astype(int))


# Nobody, and nobody whom the bundle knows ----------------------------------------------


def test_a_day_without_events_is_no_success_unless_that_is_allowed(nights):
    late = ("--since", "2199-01-01")
    nights.refused(NOBODY_DUE, "no user has an event since 2199-01-01", *late)
    found = nights.made("--accept", "--allow-empty", *late)
    assert (found["users_in"], found["rows"]) == (0, 0)
    assert verify(nights.place).ok


def test_a_log_of_items_that_nobody_knows_is_held_back(nights, log, tmp_path):
    file = tmp_path / "log.parquet"
    unknown = log["item_id"].str.replace("SKU-", "sku ")
    log.assign(item_id=unknown).to_parquet(file, index=False)
    text = "the share of users without a usable history is 1, at most 0.5 is allowed"
    nights.refused(GATE, text, events=file)
    found = nights.made("--accept", events=file)
    assert found["parts_made"] == 0
    assert found["users_out"] == log["user_id"].nunique()

    some = log["user_id"] < "user-00007"
    log.assign(item_id=log["item_id"].where(~some, unknown)).to_parquet(file, index=False)
    assert nights.made("--run-id", "some", events=file)["refused"] == {}
    cold = latest(nights.place).table().to_pandas().groupby("user_id")["is_cold"].all()
    assert set(cold.index[cold]) == set(log.loc[some, "user_id"])


# Ids that look like something else -----------------------------------------------------

ODD_IDS = [
    "../x",
    "../../../../tmp/x",
    "/etc/passwd",
    "C:\\x",
    "x" * 300,
    "\u00c4",
    "A\u0308",
    "=1+1",
    "+1",
    "-1",
    "@x",
    "<script>alert(1)</script>",
    "'; drop table",
    "%s{0}",
    "\u202etxt",
    "part-00000.parquet",
]


def test_ids_are_data_and_nothing_else(nights, log, tmp_path):
    one = log[log["user_id"] == "user-00003"]
    odd = [one.assign(user_id=user) for user in [*ODD_IDS, "a\0b", "x" * 513]]
    file = tmp_path / "log.parquet"
    pd.concat([log, *odd]).to_parquet(file, index=False)
    found = nights.made(events=file)
    assert found["log"]["reasons"] == {Reason.UNSAFE_ID.value: 2 * len(one)}
    assert found["users_out"] == log["user_id"].nunique() + len(ODD_IDS)
    files = set(nights.tree())
    assert all(name.startswith("runs/2026-11-2") or name == "CURRENT" for name in files)

    items = latest(nights.place).of("user-00003")["item_id"]
    for user in ODD_IDS:
        rows = latest(nights.place).of(user)
        assert rows["user_id"].to_pylist() == [user] * 2
        assert rows["item_id"].equals(items)
        gone = done("delivery", "forget-user", nights.place, f"--user={user}", "--json").json
        assert gone["rows"] == {NIGHT: 2}
        assert len(latest(nights.place).of(user)) == 0
    assert latest(nights.place).manifest.counts.refused == {"forgotten": len(ODD_IDS)}
    assert verify(nights.place).ok
    assert set(latest(nights.place).table()["user_id"].to_pylist()) == set(log["user_id"])


# Bundles -------------------------------------------------------------------------------


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)


def as_pickle(bundle: Path, trap: Trap) -> None:
    shutil.rmtree(bundle)
    bundle.write_bytes(pickle.dumps(trap))


def with_objects(bundle: Path, trap: Trap) -> None:
    file = bundle / "imagery" / "image_model.npz"
    objects = np.array([trap], dtype=object)
    np.savez(file, allow_pickle=True, **load_arrays(file) | {"decoder_0": objects})
    rewrite(bundle)


def lambda_model(trap: Trap) -> keras.Model:
    """A model whose layer leaves a mark, too."""
    mark = str(trap.mark)
    layer = keras.layers.Lambda(lambda inputs: (__import__("os").mkdir(mark), inputs)[1])
    model = keras.Sequential([keras.Input((1,)), layer])
    trap.mark.rmdir()  # it was called when the model was built
    return model


def as_keras(ending: str) -> Callable[[Path, Trap], None]:
    def damage(bundle: Path, trap: Trap) -> None:
        shutil.rmtree(bundle)
        lambda_model(trap).save(bundle.with_suffix(ending))
        bundle.with_suffix(ending).rename(bundle)

    return damage


def with_lambda(bundle: Path, trap: Trap) -> None:
    model = bundle.with_name("model.keras")
    lambda_model(trap).save(model)
    with zipfile.ZipFile(model) as archive:
        (bundle / "imagery" / "image_model.json").write_bytes(archive.read("config.json"))
    rewrite(bundle)


def with_flipped_bit(bundle: Path, trap: Trap) -> None:
    flipped(bundle / "preferences" / "arrays.npz")


def of_another_space(bundle: Path, trap: Trap) -> None:
    other = ALS(factors=16, seed=1)
    other.fit(ALS.load(bundle / "preferences").interactions_).save(bundle / "preferences")
    rewrite(bundle)


def newer(bundle: Path, trap: Trap) -> None:
    rewrite(bundle, format=99)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda bundle, trap: shutil.rmtree(bundle), "is no bundle"),
        (with_flipped_bit, "part preferences/arrays.npz is damaged"),
        (newer, "bundle format 99 was written by"),
        (of_another_space, "other item vectors"),
        (as_pickle, "is no bundle"),
        (with_objects, "image_model.npz"),
        (as_keras(".keras"), "is no bundle"),
        (as_keras(".h5"), "is no bundle"),
        (with_lambda, "image_model.json"),
    ],
    ids=[
        "absent", "flipped", "newer", "space", "pickle", "objects", "keras", "h5", "lambda"
    ],
)  # fmt: skip
def test_a_bundle_that_cannot_be_used(nights, bundle, tmp_path, damage, text):
    copy, trap = tmp_path / "bundle", Trap(tmp_path / "mark")
    shutil.copytree(bundle, copy)
    damage(copy, trap)
    nights.refused(BUNDLE, text, bundle=copy)
    assert not trap.mark.exists()


def test_a_bundle_that_is_replaced_while_it_is_read(nights, bundle, tmp_path, monkeypatch):
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    load = Personalizer.load.__func__

    def replaced(kind, path):
        found = load(kind, path)
        rewrite(copy, versions={})
        return found

    monkeypatch.setattr(Personalizer, "load", classmethod(replaced))
    nights.refused(BUNDLE, "was replaced while it was being read; run again", bundle=copy)


# Nights that turn out bad --------------------------------------------------------------


def test_constant_pictures_are_held_back(nights, bundle, tmp_path):
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    file = copy / "imagery" / "image_model.npz"
    weights = load_arrays(file)
    np.savez(file, **weights | {"decoder_6": np.zeros_like(weights["decoder_6"])})
    rewrite(copy)
    text = "the share of pictures in one color is 1, at most 0.01 is allowed"
    nights.refused(GATE, text, bundle=copy)
    nights.refused(GATE, text, bundle=copy)
    assert nights.made("--accept", bundle=copy)["parts_made"] == 0


def test_a_night_that_lacks_users_is_held_back(nights, log, tmp_path):
    file = tmp_path / "log.parquet"
    log[log["user_id"] < "user-00020"].to_parquet(file, index=False)
    nights.refused(GATE, f"the number of users as a share of those of run {BEFORE}", events=file)


def test_a_night_of_other_scores_is_held_back(nights, log, tmp_path):
    file = tmp_path / "log.parquet"
    log.groupby("user_id").head(1).to_parquet(file, index=False)
    nights.refused(GATE, f"the drift of scores since run {BEFORE}", events=file)
    found = nights.made("--accept", events=file)
    assert [text.split(" is ")[0] for text in found["accepted"]] == [
        f"the drift of scores since run {BEFORE}"
    ]
