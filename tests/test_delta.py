"""The published run as a Delta table: one commit a run, whatever happens between."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from prodgen_rec.errors import DeliveryError, MissingExtraError
from prodgen_rec.nightly import (
    Target,
    forget_in_delta,
    forget_user,
    latest,
    part_of,
    publish_delta,
    rollback,
)

deltalake = pytest.importorskip("deltalake")
ORDER = [("user_id", "ascending"), ("rank", "ascending")]


def publish(place: Path, night: int, users: list, n_parts: int = 3) -> None:
    """A run of two rows for each user."""
    with Target(place).writer() as writer:
        date = dt.date(2026, 11, night)
        run = writer.begin(date.isoformat(), date=date, inputs="5ba1", n_parts=n_parts)
        belongs = part_of(users, n_parts=n_parts)
        for index in run.missing:
            mine = [user for user, part in zip(users, belongs, strict=True) if part == index]
            twice = [user for user in mine for _ in range(2)]
            rows = {
                "user_id": pa.array(twice, pa.array(users).type),
                "rank": pa.array([1, 2] * len(mine), pa.int32()),
                "image": pa.array([f"{night} {user}".encode() for user in twice], pa.binary()),
                "is_cold": pa.array([False] * len(twice), pa.bool_()),
            }
            run.write_part(index, pa.table(rows), n_in=len(mine))
        run.publish()


@pytest.fixture
def places(tmp_path) -> tuple[Path, str]:
    return tmp_path / "place", str(tmp_path / "table")


def rows_of(table: str, version: int | None = None) -> pa.Table:
    read = deltalake.DeltaTable(table, version=version).to_pyarrow_dataset().to_table()
    return read.sort_by(ORDER)


def is_the_published(place: Path, table: str) -> bool:
    return bool(rows_of(table).equals(latest(place).table().sort_by(ORDER)))


def test_a_table_holds_what_is_published_and_remembers_the_run_before(places):
    place, table = places
    publish(place, 25, ["a", "b", "c"])
    assert publish_delta(place, table) == 0
    first = latest(place).table().sort_by(ORDER)
    assert rows_of(table).equals(first)
    publish(place, 26, ["b", "c", "d", "e"])
    assert publish_delta(place, table) == 1
    assert is_the_published(place, table)
    assert rows_of(table, version=0).equals(first)
    assert deltalake.DeltaTable(table).history(1)[0]["run_id"] == "2026-11-26"


def test_a_second_commit_of_a_run_changes_nothing(places):
    place, table = places
    publish(place, 25, ["a", "b", "c"])
    publish_delta(place, table)
    files = sorted(Path(table).rglob("*"))
    assert publish_delta(place, table) is None
    assert sorted(Path(table).rglob("*")) == files


def test_a_rollback_is_followed(places):
    place, table = places
    for night, users in [(25, ["a", "b"]), (26, ["c"])]:
        publish(place, night, users)
        publish_delta(place, table)
    rollback(place)
    assert publish_delta(place, table) == 2
    assert publish_delta(place, table) is None
    assert set(rows_of(table)["user_id"].to_pylist()) == {"a", "b"}


@pytest.mark.parametrize(
    ("users", "gone"), [(["a", "b'; --", "b"], "b'; --"), ([7, 17, 27], "17"), (["a"], "' OR ''='")]
)
def test_a_user_is_deleted_and_no_other(places, users, gone):
    place, table = places
    publish(place, 25, users)
    publish_delta(place, table)
    forget_user(place, gone)
    n_gone = 2 if gone in map(str, users) else 0
    assert forget_in_delta(table, gone) == n_gone
    assert is_the_published(place, table)
    assert rows_of(table).num_rows == 2 * len(users) - n_gone


def test_a_damaged_part_leaves_the_table_as_it_was(places):
    place, table = places
    publish(place, 25, ["a", "b"])
    publish_delta(place, table)
    before = rows_of(table)
    publish(place, 26, [f"user {i}" for i in range(50)])
    part = place / "runs" / "2026-11-26" / "part-00001.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(DeliveryError, match="part-00001"):
        publish_delta(place, table)
    assert rows_of(table).equals(before)


def test_the_job_commits_what_a_killed_one_has_published(bundle, small_shop, tmp_path, monkeypatch):
    from prodgen_rec.nightly import NightlySettings, job, run

    settings = NightlySettings.read(
        bundle=bundle, events=str(small_shop.events), to=str(tmp_path / "place"),
        delta=str(tmp_path / "table"), date="2026-11-26", recipe={"users_per_part": 60},
    )  # fmt: skip

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, "publish_delta", killed)
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    assert latest(settings.to).manifest.run_id == "2026-11-26"
    assert not (tmp_path / "table").exists()
    assert run(settings).n_made == 0
    assert is_the_published(Path(settings.to), settings.delta)
    run(settings)
    assert deltalake.DeltaTable(settings.delta).version() == 0


def test_what_is_missing_is_said(places, monkeypatch):
    place, table = places
    with pytest.raises(DeliveryError, match="no Delta table is there"):
        forget_in_delta(table, "a")
    with pytest.raises(DeliveryError, match="nothing is published"):
        publish_delta(place, table)
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(MissingExtraError, match=r"prodgen-rec\[delta\]"):
        publish_delta(place, table)
