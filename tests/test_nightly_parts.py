"""Parts: who belongs where, their figures, workers that write them; and what a writer knows."""

from __future__ import annotations

import hashlib
import math
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import pytest
from nightly_runs import N_PARTS, USERS, begun, plan, point_at, rows, store, sums, tree, write

from prodgen_rec.errors import DeliveryCorruptError, DeliveryVersionError, InputError
from prodgen_rec.hashing import hash_ids
from prodgen_rec.nightly import Target, latest, part_of, rollback, verify
from prodgen_rec.nightly.documents import Plan

IDS = np.arange(20_000)


def by_hand(user_id: str, n_parts: int) -> int:
    digest = hashlib.blake2b(user_id.encode(), digest_size=8, key=b"0").digest()
    return (int.from_bytes(digest, "little") // 2**32) * n_parts // 2**32


# Who belongs where


@pytest.mark.parametrize("n_parts", [1, 3, 1000, 10**9])
def test_a_part_is_a_range_of_the_hashes(n_parts):
    belongs = part_of(IDS, n_parts)
    assert belongs.dtype == np.int64
    assert belongs[:500].tolist() == [by_hand(str(user), n_parts) for user in range(500)]
    order = np.argsort(hash_ids(IDS, seed=0))
    assert (np.diff(belongs[order]) >= 0).all()


def test_users_are_spread_evenly():
    counts = np.bincount(part_of(IDS, 10), minlength=10)
    assert np.abs(counts - 2000).max() < 4 * math.sqrt(20_000 * 0.1 * 0.9)


def test_twice_as_many_parts_halve_each():
    assert (part_of(IDS, 14) // 2 == part_of(IDS, 7)).all()


def test_the_kind_of_ids_does_not_matter():
    parts = part_of(IDS, 50).tolist()
    column = pa.chunked_array([IDS[:7].astype(str), IDS[7:].astype(str)])
    assert part_of(column, 50).tolist() == parts
    assert part_of(column.dictionary_encode(), 50).tolist() == parts
    assert part_of([], 50).shape == (0,)


@pytest.mark.parametrize("n_parts", [0, -1, 10**9 + 1])
def test_a_number_of_parts_that_cannot_be_is_refused(n_parts):
    with pytest.raises(InputError, match=f"n_parts={n_parts}: expected 1 to 1000000000"):
        part_of([1], n_parts)


def test_a_user_of_another_part_is_refused(tmp_path):
    with begun(tmp_path, 26) as run:
        table = pa.concat_tables([rows(26, 0), rows(26, 2), rows(26, 1)])
        text = f"part-00000.parquet: user '{USERS[2][0]}' belongs into part 2 of 3, not into part 0"
        with pytest.raises(InputError, match=rf"{text}; distribute users by prodgen_rec\.nightly"):
            run.write_part(0, table, n_in=12)
        assert run.missing == [0, 1, 2]
    assert [name for name in tree(tmp_path) if "part" in name] == []


# Figures of parts


def test_figures_of_parts_outlive_the_process_and_come_into_the_manifest(tmp_path):
    with begun(tmp_path, 26) as run:
        run.write_part(1, rows(26, 1), n_in=4, figures={"scores": {"mean": 0.5}, "n": [1, 2]})
        run.write_part(2, rows(26, 2), n_in=4)
    with begun(tmp_path, 26) as run:
        assert run.finished[1].figures == {"scores": {"mean": 0.5}, "n": [1, 2]}
        run.write_part(0, rows(26, 0), n_in=4, figures={"n": []})
        run.publish()
    figures = [part.figures for part in latest(tmp_path).manifest.parts]
    assert figures == [{"n": []}, {"scores": {"mean": 0.5}, "n": [1, 2]}, {}]


@pytest.mark.parametrize("figure", [math.nan, math.inf, object(), np.float64("nan")])
def test_a_figure_that_json_cannot_hold_is_refused_before_the_part_is_written(tmp_path, figure):
    with begun(tmp_path, 26) as run:
        with pytest.raises(InputError, match=r"figures\.mean: |figures: |pass no NaN"):
            run.write_part(0, rows(26, 0), n_in=4, figures={"mean": figure})
        assert run.missing == [0, 1, 2]
    assert [name for name in tree(tmp_path) if "part" in name] == []


# Written by workers, recorded by one


def test_parts_that_other_processes_write_give_the_same_bytes(tmp_path, monkeypatch):
    write(tmp_path / "unbroken", 26)
    monkeypatch.chdir(tmp_path)
    with (
        begun("place", 26) as run,  # relative: workers may stand somewhere else
        ProcessPoolExecutor(1, get_context("spawn"), initializer=_stand_in_root) as workers,
    ):
        for index in (2, 0, 1):
            run.accept(index, workers.submit(store, run.part_writer, 26, index).result())
        run.publish(figures={"mean": 0.1})
    assert tree(tmp_path / "place") == tree(tmp_path / "unbroken")


def _stand_in_root() -> None:
    os.chdir("/")


@pytest.mark.parametrize("scheme", ["", "memory:/"])
def test_what_a_worker_wrote_is_no_part_before_it_is_accepted(tmp_path, scheme):
    place = f"{scheme}{tmp_path}"
    with begun(place, 26) as run:
        writer = pickle.loads(pickle.dumps(run.part_writer))  # noqa: S301
        record = pickle.loads(pickle.dumps(store(writer, 26, 1)))  # noqa: S301
        assert run.missing == [0, 1, 2]
    with begun(place, 26) as run:
        assert run.missing == [0, 1, 2]
        with pytest.raises(DeliveryCorruptError, match=r"part-00001\.parquet is missing, \d+ byte"):
            run.accept(1, record)
        assert store(writer, 26, 1) == record  # tried again, as a scheduler does
        run.accept(1, record)
        store(writer, 26, 1)  # a late twin
        assert run.missing == [0, 2]
    with begun(place, 26) as run:
        assert run.finished == {1: record}


def test_a_part_of_another_length_is_not_accepted(tmp_path):
    with begun(tmp_path, 26) as run:
        record = store(run.part_writer, 26, 0)
        file = tmp_path / "runs/2026-11-26/part-00000.parquet"
        file.write_bytes(file.read_bytes()[:-1])
        text = rf"has {record.n_bytes - 1} bytes, {record.n_bytes} bytes were recorded; write the"
        with pytest.raises(DeliveryCorruptError, match=text):
            run.accept(0, record)
        assert run.missing == [0, 1, 2]


def test_a_record_of_another_part_is_not_accepted(tmp_path):
    with begun(tmp_path, 26) as run:
        records = [store(run.part_writer, 26, index) for index in range(N_PARTS)]
        with pytest.raises(
            InputError, match=r"part 0: expected the record of part-00000.parquet, g"
        ):
            run.accept(0, records[1])
        run.accept(1, records[1])
        with pytest.raises(InputError, match="expected one of the 2 missing parts of 3"):
            run.accept(1, records[1])
        odd = run.part_writer.write(2, rows(26, 2).drop(["image"]), **sums(2))
        with pytest.raises(InputError, match=r"part-00002.parquet has the columns .*; all parts n"):
            run.accept(2, odd)
        for index in (-1, 3):
            with pytest.raises(InputError, match=f"part {index}: expected 0 to 2"):
                run.part_writer.write(index, rows(26, 0), n_in=4)
        assert run.missing == [0, 2]


def test_a_damaged_part_that_was_accepted_is_made_again(tmp_path):
    """The length is right, so that only the hash tells."""
    with begun(tmp_path, 26) as run:
        run.accept(0, store(run.part_writer, 26, 0))
    file = tmp_path / "runs/2026-11-26/part-00000.parquet"
    content = bytearray(file.read_bytes())
    content[50] ^= 1
    file.write_bytes(content)
    with begun(tmp_path, 26) as run:
        assert run.missing == [0, 1, 2]


# What a writer knows


def test_a_writer_says_what_runs_were_made_from(tmp_path):
    write(tmp_path, 25)
    with begun(tmp_path, 26, seed=5):
        pass
    with Target(tmp_path).writer() as writer:
        complete, unfinished = writer.plan("2026-11-25"), writer.plan("2026-11-26")
        assert isinstance(complete, Plan)
        assert isinstance(unfinished, Plan)
        assert (complete.inputs, unfinished.seed) == ("bundle 25", 5)
        assert writer.begin(**plan(26, seed=5)).plan == unfinished
        assert complete.differences(writer.begin(**plan(25)).plan) == []
        assert writer.plan("2026-11-24") is None
        with pytest.raises(InputError, match=r"run id '\.\./x'"):
            writer.plan("../x")


def test_a_writer_that_cannot_read_what_a_run_was_made_from_says_so(tmp_path, caplog):
    write(tmp_path, 25)
    with begun(tmp_path, 26):
        pass
    for name in ("2026-11-25/manifest.json", "2026-11-26/plan.json"):
        (tmp_path / "runs" / name).write_text("{}")
    with Target(tmp_path).writer() as writer:
        for run in ("2026-11-25", "2026-11-26"):
            assert writer.plan(run) is None
            assert f"taken for no run: {tmp_path}/runs/{run}/" in caplog.text


def test_a_writer_knows_what_is_published(tmp_path, caplog):
    with Target(tmp_path).writer() as writer:
        assert writer.published() is None
    assert caplog.text == ""
    first, second = write(tmp_path, 25), write(tmp_path, 26)
    with Target(tmp_path).writer() as writer:
        assert writer.published() == second
    rollback(tmp_path)
    with Target(tmp_path).writer() as writer:
        assert writer.published() == first
        file = tmp_path / "runs/2026-11-25/manifest.json"
        file.write_bytes(file.read_bytes()[:-2])
        assert writer.published() is None
    assert "nothing is taken to be published: " in caplog.text


def test_a_writer_does_not_take_what_is_newer_for_damage(tmp_path):
    write(tmp_path, 25)
    name = "runs/2026-11-25/manifest.json"
    (tmp_path / name).write_text('{"format": 2, "library": "7.3"}')
    point_at(tmp_path, name)
    with (
        Target(tmp_path).writer() as writer,
        pytest.raises(DeliveryVersionError, match=r"written by prodgen-rec 7\.3"),
    ):
        writer.published()


def test_a_writer_begins_several_runs(tmp_path):
    with Target(tmp_path).writer() as writer:
        for night in (24, 25):
            run = writer.begin(**plan(night))
            for index in run.missing:
                run.write_part(index, rows(night, index), **sums(index))
            run.publish()
    assert verify(tmp_path).runs == ("2026-11-24", "2026-11-25")
    assert verify(tmp_path).ok
