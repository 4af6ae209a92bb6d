"""The life of nightly runs: written, published, read, kept, rolled back, forgotten."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import math
import uuid
from collections.abc import Callable
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from nightly_runs import N_PARTS, USER, USERS, begun, expected, rows, seen, sums, tree, write

from prodgen_rec.errors import (
    DeliveryError,
    DeliveryReplacedError,
    InputError,
    LockHeldError,
    NothingToPublishError,
    RunConflictError,
)
from prodgen_rec.nightly import Target, forget_user, latest, part_of, rollback, verify


@pytest.fixture(params=["local", "memory"])
def place(request, quick_folder) -> str:
    """A new target, in a folder or in fsspec's memory."""
    if request.param == "local":
        return str(quick_folder / "pictures")
    return f"memory://{uuid.uuid4().hex}/pictures"


def names(place: str) -> list[str]:
    return sorted(tree(place))


def run_names(place: str) -> list[str]:
    return [manifest.run_id for manifest in Target(place).runs()]


# Written and read


def test_a_published_run_is_read_as_it_was_written(place):
    manifest = write(place, 26)
    delivery = latest(place)
    assert delivery.table().equals(expected(26))
    assert [len(table) for table in delivery.tables(["rank"])] == [8, 8, 8]
    assert delivery.table(["rank"]).column_names == ["rank"]
    assert delivery.manifest == manifest
    assert verify(place).ok
    assert names(place) == [
        "CURRENT",
        "runs/2026-11-26/manifest.json",
        *(f"runs/2026-11-26/part-0000{index}.parquet" for index in range(N_PARTS)),
    ]


def test_the_manifest_says_what_there_is(place):
    write(place, 26)
    written = json.loads(tree(place)["runs/2026-11-26/manifest.json"])
    content = tree(place)["runs/2026-11-26/part-00001.parquet"]
    part = written["parts"][1]
    assert part["sha256"] == hashlib.sha256(content).hexdigest()
    assert (part["n_bytes"], part["rows"]) == (len(content), 8)
    assert part["figures"] == {"mean": 0.25}
    assert written["counts"] == {"n_in": 15, "n_out": 12, "refused": {"no history": 3}}
    assert (written["seed"], written["settings"], written["kernel"]) == (1, {"n": 2}, "reference")
    assert written["versions"]["numpy"] == np.__version__
    current = json.loads(tree(place)["CURRENT"])
    manifest = tree(place)["runs/2026-11-26/manifest.json"]
    assert current["manifest"] == hashlib.sha256(manifest).hexdigest()


def test_one_user_is_read_from_one_part(place):
    write(place, 26)
    assert len(latest(place).of("nobody")) == 0
    assert len(latest(place).of(7)) == 0
    filesystem, root = fsspec.url_to_fs(place)
    for index in (0, 2):
        filesystem.rm_file(f"{root}/runs/2026-11-26/part-0000{index}.parquet")
    found = latest(place).of(USER, ["user_id", "rank"])
    assert found.to_pydict() == {"user_id": [USER, USER], "rank": [1, 2]}


def test_ids_of_users_are_data_and_never_paths(place):
    users = ["../../x", "/etc/passwd", "a\0b", "u" * 300, "Ä", "A\u0308", "", "=1+1", "<script>"]
    for night, unwanted in enumerate(users, start=1):
        with begun(place, night, n_parts=1) as run:
            run.write_part(0, pa.table({"user_id": sorted(users)}), n_in=len(users))
            run.publish(keep=1)
        assert latest(place).of(unwanted)["user_id"].to_pylist() == [unwanted]
        forget_user(place, unwanted)
        kept = latest(place).table()["user_id"].to_pylist()
        assert kept == [user for user in sorted(users) if user != unwanted]
        files = ["manifest-1.json", "part-00000-1.parquet"]
        assert names(place) == ["CURRENT", *(f"runs/2026-11-{night:02d}/{name}" for name in files)]


@pytest.mark.parametrize(
    "run_id",
    ["../x", "/etc/x", "a/b", "a\\b", "", ".", "..", ".hidden", "a\0b", "x" * 300, "é", "a\n", 7],
)
def test_names_of_runs_that_are_no_folder_names_are_refused(place, run_id):
    with pytest.raises(InputError, match=r"run id .* expected 1 to 100 letters, digits"):
        write(place, 26, run_id=run_id)
    with pytest.raises(InputError, match=r"run id .* expected 1 to 100 letters, digits"):
        verify(place, run=run_id)
    assert tree(place) == {}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"n_parts": 0}, "n_parts: Input should be greater than 0, got 0"),
        ({"seed": "x"}, "seed: Input should be a valid integer"),
        ({"settings": {"guidance": math.nan}}, "comes back from JSON as another one; pass no NaN"),
        ({"settings": {"model": object()}}, "settings.model"),
        ({"date": "yesterday"}, "date: Input should be a valid date"),
    ],
)
def test_a_plan_that_cannot_be_kept_is_refused_before_anything_is_written(place, change, complaint):
    with pytest.raises(InputError, match=complaint):
        write(place, 26, **change)
    assert tree(place) == {}


# Nobody is lost


@pytest.mark.parametrize(
    ("n_in", "refused", "complaint"),
    [
        (5, {}, r"part-00000.parquet: 5 users in, 4 in the rows and 0 refused"),
        (5, {"a": 1, "b": 1}, "5 users in, 4 in the rows and 2 refused"),
        (4, {"a": 1, "b": -1}, "4 users in, 4 in the rows and 0 refused"),
    ],
)
def test_users_who_are_neither_in_the_rows_nor_refused_are_missed(place, n_in, refused, complaint):
    with begun(place, 26) as run:
        with pytest.raises(InputError, match=complaint):
            run.write_part(0, rows(26, 0), n_in=n_in, refused=refused)
        assert run.missing == [0, 1, 2]


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (pa.table({"rank": [1]}), r"no column 'user_id' among \['rank'\]"),
        (pa.table({"user_id": ["a", None]}), "1 of 2 ids are null"),
        (pa.table({"user_id": [1.5]}), "ids must be int or str, these are double"),
        (rows(26, 0).drop(["image"]), "part-00000.parquet has the columns .*; all parts need the"),
    ],
)
def test_rows_that_fit_no_run_are_refused(place, table, complaint):
    with begun(place, 26) as run:
        run.write_part(1, rows(26, 1), n_in=4)
        with pytest.raises(InputError, match=complaint):
            run.write_part(0, table, n_in=4)
        for index in (1, 3, -1):
            with pytest.raises(InputError, match="expected one of the 2 missing parts of 3"):
                run.write_part(index, rows(26, 0), n_in=4)


def test_users_refused_before_there_were_parts_are_counted(place):
    with begun(place, 26, n_parts=1) as run:
        run.write_part(0, rows(26, 0), **sums(0))
        counts = run.publish(refused={"no history": 2, "bad id": 1}).counts
    assert counts.model_dump() == {
        "n_in": 8,
        "n_out": 4,
        "refused": {"bad id": 1, "no history": 3},
    }


def test_a_run_with_missing_parts_is_not_published(place):
    write(place, 25)
    with begun(place, 26) as run:
        run.write_part(1, rows(26, 1), n_in=4)
        with pytest.raises(
            DeliveryError, match=r"2 of 3 parts are missing, the first is part-00000"
        ):
            run.publish()
    assert seen(latest(place)) == (25, True)


def test_an_empty_night_is_published_only_where_allowed(place):
    write(place, 25)
    for allow in (False, True):
        with begun(place, 26, n_parts=1) as run:
            if run.missing:
                run.write_part(0, rows(26, 0).slice(0, 0), n_in=2, refused={"no history": 2})
            if not allow:
                with pytest.raises(NothingToPublishError, match="has no rows; what is published s"):
                    run.publish()
                assert seen(latest(place)) == (25, True)
                continue
            run.publish(allow_empty=True)
    assert len(latest(place).table()) == 0
    assert latest(place).manifest.counts.n_in == 2
    assert len(latest(place).of(USER)) == 0
    assert forget_user(place, USER).rows == {"2026-11-25": 2}
    assert verify(place).ok


# The same night twice


def test_the_same_night_twice_changes_nothing(place):
    first = write(place, 26)
    before = tree(place)
    with begun(place, 26) as run:
        assert run.is_complete
        assert run.missing == []
        assert run.publish() == first
    assert tree(place) == before


def test_parts_of_any_order_and_two_sittings_give_the_same_bytes(place, tmp_path):
    write(tmp_path / "unbroken", 26)
    with begun(place, 26) as run:
        run.write_part(2, rows(26, 2), **sums(2))
        pieces = [rows(26, 0).slice(0, 3), rows(26, 0).slice(3)]
        run.write_part(0, pa.concat_tables(pieces), **sums(0))
    assert verify(place).unfinished == ("2026-11-26",)
    with pytest.raises(DeliveryError, match="nothing is published there, it holds no CURRENT"):
        latest(place)
    with begun(place, 26) as run:
        assert run.missing == [1]
    write(place, 26)
    assert tree(place) == tree(tmp_path / "unbroken")


@pytest.mark.parametrize(
    "damage", ["part flipped", "part gone", "record flipped", "record gone", "left over"]
)
def test_only_verified_parts_are_kept(place, tmp_path, damage, caplog):
    write(tmp_path / "unbroken", 26)
    with begun(place, 26) as run:
        for index in range(2):
            run.write_part(index, rows(26, index), **sums(index))
    filesystem, root = fsspec.url_to_fs(place)
    what, _, how = damage.partition(" ")
    name = f"{root}/runs/2026-11-26/part-00001.{'json' if what == 'record' else 'parquet'}"
    if how == "gone":
        filesystem.rm_file(name)
    elif how == "flipped":
        content = bytearray(filesystem.cat_file(name))
        content[len(content) // 2] ^= 1
        filesystem.pipe_file(name, bytes(content))
    else:
        filesystem.pipe_file(f"{root}/runs/2026-11-26/.part-00002.parquet.x1.part", b"half")
    with begun(place, 26) as run:
        assert run.missing == ([2] if what == "left" else [1, 2])
    assert ("part 1 is computed again" in caplog.text) == (
        damage not in ("record gone", "left over")
    )
    write(place, 26)
    assert tree(place) == tree(tmp_path / "unbroken")


def test_an_unfinished_run_from_something_else_is_begun_anew(place, tmp_path, caplog):
    with begun(place, 26, seed=2, inputs="older") as run:
        run.write_part(0, rows(25, 0), n_in=4)
    write(place, 26)
    assert "2026-11-26: begun anew, its inputs, seed changed" in caplog.text
    write(tmp_path / "unbroken", 26)
    assert tree(place) == tree(tmp_path / "unbroken")


def test_a_complete_run_from_something_else_is_refused(place):
    write(place, 26)
    before = tree(place)
    text = "2026-11-26 is complete and was made from something else: inputs, seed; give this run"
    with pytest.raises(RunConflictError, match=text):
        write(place, 26, seed=2, inputs="newer")
    assert tree(place) == before


# Which runs stay, and which of them is published


def test_the_newest_runs_stay_and_always_the_published_one(place):
    for night in (20, 21, 22):
        write(place, night, keep=2)
    assert run_names(place) == ["2026-11-21", "2026-11-22"]
    rollback(place)
    write(place, 19, keep=1)
    assert seen(latest(place)) == (21, True)
    assert run_names(place) == ["2026-11-21", "2026-11-22"]
    with begun(place, 20) as run:
        run.write_part(0, rows(20, 0), n_in=4)
    write(place, 23, keep=1)
    assert run_names(place) == ["2026-11-23"]
    assert {name.split("/")[1] for name in names(place) if "/" in name} == {"2026-11-23"}
    with pytest.raises(InputError, match="keep=0: at least 1 run"):
        write(place, 24, keep=0)


def test_a_night_that_is_made_up_for_does_not_hide_a_newer_one(place):
    write(place, 26)
    write(place, 24)
    assert seen(latest(place)) == (26, True)
    assert run_names(place) == ["2026-11-24", "2026-11-26"]


def test_rolling_back_goes_from_run_to_run_and_stays_there(place):
    for night in (24, 25, 26):
        write(place, night)
    assert rollback(place).run_id == "2026-11-25"
    assert seen(latest(place)) == (25, True)
    with pytest.raises(
        RunConflictError, match=r"a rollback turned away .* rollback\(to='2026-11-26"
    ):
        write(place, 26)
    assert rollback(place).run_id == "2026-11-24"
    with pytest.raises(DeliveryError, match="no run to go back to from 2026-11-24"):
        rollback(place)
    write(place, 27)
    assert seen(latest(place)) == (27, True)
    assert rollback(place, to="2026-11-26").run_id == "2026-11-26"
    assert seen(latest(place)) == (26, True)
    write(place, 26)
    with pytest.raises(DeliveryError, match=r"no complete run '2026-11-01'; it holds 2026-11-24, "):
        rollback(place, to="2026-11-01")
    assert verify(place).runs == ("2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27")
    assert verify(place).ok


# Forgetting


def test_a_forgotten_user_is_nowhere(place):
    for night in (24, 25, 26):
        write(place, night)
    with begun(place, 27) as run:
        for index in (0, 1):
            run.write_part(index, rows(27, index), **sums(index))
    rollback(place)
    forgotten = forget_user(place, USER)
    assert forgotten.rows == {"2026-11-24": 2, "2026-11-25": 2, "2026-11-26": 2}
    assert (
        forgotten.n_parts_read == 10
    )  # the one part of the unfinished run that held the user went
    assert USER.encode() not in b"".join(tree(place).values())
    assert seen(latest(place)) == (25, False)
    for manifest in Target(place).runs():
        assert manifest.counts.model_dump() == {
            "n_in": 15,
            "n_out": 11,
            "refused": {"forgotten": 1, "no history": 3},
        }
    assert verify(place).ok
    assert len(names(place)) == 1 + 3 * (1 + N_PARTS) + 3
    assert forget_user(place, USER).rows == {}
    with begun(place, 27) as run:
        assert run.missing == [1, 2]


def test_forgetting_twice_rewrites_twice_and_the_night_stays_complete(place):
    write(place, 26)
    forget_user(place, USER)
    forget_user(place, USERS[1][0])
    manifest = write(place, 26)
    assert manifest.revision == 2
    assert manifest.parts[1].counts.refused == {"forgotten": 2, "no history": 1}
    assert [part.figures for part in manifest.parts] == [{"mean": mean} for mean in (0, 0.25, 0.5)]
    assert [part.name for part in manifest.parts] == [
        "part-00000.parquet",
        "part-00001-2.parquet",
        "part-00002.parquet",
    ]
    assert set(latest(place).table()["user_id"].to_pylist()) == {
        *USERS[0],
        USERS[1][1],
        USERS[1][3],
        *USERS[2],
    }


def test_the_kind_of_an_id_does_not_matter_for_reading_and_forgetting(place):
    with begun(place, 26, n_parts=10) as run:
        for index in run.missing:
            table = pa.table({"user_id": [7, 17, 23]})
            table = table.filter(part_of(table["user_id"], 10) == index)
            run.write_part(index, table, n_in=len(table))
        run.publish()
    assert [len(latest(place).of(user)) for user in (7, "7", "07", np.int32(23))] == [1, 1, 0, 1]
    assert forget_user(place, "17").rows == {"2026-11-26": 1}
    assert forget_user(place, "07").rows == {}
    assert sorted(latest(place).table()["user_id"].to_pylist()) == [7, 23]
    for action in (forget_user, lambda place, user: latest(place).of(user)):
        with pytest.raises(InputError, match="user id: ids must be int or str, these are double"):
            action(place, 7.5)


def test_who_still_reads_a_run_that_went_is_told_so(place):
    write(place, 25)
    slow = latest(place).tables()
    next(slow)
    write(place, 26, keep=1)
    with pytest.raises(
        DeliveryReplacedError, match=r"removed or rewritten .* call latest\(\) again"
    ):
        next(slow)


# Locks


def test_a_second_writer_is_told_who_the_first_is(place):
    with begun(place, 26):
        text = r"is being written by process \d+ on \S+, since \d{4}-.* UTC; wait until it is done"
        for action in (
            lambda: write(place, 27),
            lambda: rollback(place),
            lambda: forget_user(place, USER),
        ):
            with pytest.raises(LockHeldError, match=text):
                action()
    write(place, 27)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_the_lock_of_a_process_that_died(place, where, caplog):
    caplog.set_level(logging.WARNING)
    dead = {"host": "elsewhere", "pid": 4_194_304, "started": 1.5, "since": "2026-11-25T02:00:00Z"}
    with begun(place, 25):
        owner = json.loads(tree(place)[".lock.json"])
    if where == "here":
        dead["host"] = owner["host"]
    filesystem, root = fsspec.url_to_fs(place)
    filesystem.pipe_file(f"{root}/.lock.json", json.dumps(dead).encode())
    if where == "elsewhere" and isinstance(filesystem, MemoryFileSystem):
        text = r"by process 4194304 on elsewhere, .* if it has ended without removing memory:///.*"
        with pytest.raises(LockHeldError, match=text):
            write(place, 26)
        filesystem.rm_file(f"{root}/.lock.json")
    write(place, 26)
    is_said = f"recovered the lock of a dead process 4194304 on {dead['host']}" in caplog.text
    assert is_said == (where == "here" or not isinstance(filesystem, MemoryFileSystem))
    assert seen(latest(place)) == (26, True)


def limited(method: str, left: list[int]) -> Callable[..., Any]:
    """A method of the file system that works so often, and then never again."""
    real = getattr(MemoryFileSystem, method)

    def call(self: MemoryFileSystem, *args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    return call


def test_a_writer_that_is_cut_off_from_memory_at_any_step_goes_on(monkeypatch):
    """As if the process had died: from some step on, nothing reaches the store."""
    unbroken = f"memory://{uuid.uuid4().hex}"
    write(unbroken, 25)
    write(unbroken, 26, keep=1)
    left = [0]
    for method in ("pipe_file", "rm_file"):
        monkeypatch.setattr(MemoryFileSystem, method, limited(method, left))
    n_steps = 0
    while True:
        left[0] = 10**9
        place = f"memory://{uuid.uuid4().hex}"
        write(place, 25)
        left[0] = n_steps
        try:
            write(place, 26, keep=1)
        except KeyboardInterrupt:
            left[0] = 10**9
            assert seen(latest(place))[0] in (25, 26)
            filesystem, root = fsspec.url_to_fs(place)
            if n_steps:
                with pytest.raises(LockHeldError, match="if it has ended without removing"):
                    write(place, 26, keep=1)
                filesystem.rm_file(f"{root}/.lock.json")
            write(place, 26, keep=1)
            assert tree(place) == tree(unbroken)
            n_steps += 1
            continue
        break
    assert n_steps > 15


def test_a_place_nobody_knows_is_refused():
    with pytest.raises(InputError, match="ftp7://x/y: no file system for it"):
        Target("ftp7://x/y")


def test_what_belongs_to_something_else_is_left_alone(place, tmp_path):
    filesystem, root = fsspec.url_to_fs(place)
    filesystem.makedirs(root, exist_ok=True)
    filesystem.pipe_file(f"{root}/CURRENT", b"MANIFEST-000004\n")  # of a database
    with pytest.raises(DeliveryError, match="CURRENT was not written by this library; choose an"):
        write(place, 26)
    assert tree(place) == {"CURRENT": b"MANIFEST-000004\n"}
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", f"file://{tmp_path}/file"):
        with pytest.raises(InputError, match="file is a file; nightly runs need a folder"):
            latest(path)


def test_a_folder_by_url_is_the_same_folder(tmp_path):
    write(f"file://{tmp_path}", 26)
    assert seen(latest(tmp_path)) == (26, True)
    assert latest(tmp_path).manifest.date == dt.date(2026, 11, 26)
    assert (tmp_path / ".lock").exists()
