"""Reading behaviour logs: every kind of source gives the same rows, and all are accounted for."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_logs import (
    HEADER,
    LOG,
    as_csv,
    as_parquet,
    csv_file,
    frame,
    read,
    reasons,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from prodgen_rec.events import csv_source, duplicates, read_events, sources


def as_tsv_gz(folder: Path) -> Path:
    (folder / "log.tsv.gz").write_bytes(gzip.compress(LOG.to_csv(sep="\t", index=False).encode()))
    return folder / "log.tsv.gz"


def as_csv_zst(folder: Path) -> Path:
    with pa.output_stream(str(folder / "log.csv.zst"), compression="zstd") as stream:
        stream.write(LOG.to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig"))
    return folder / "log.csv.zst"


def as_folder(folder: Path) -> Path:
    (folder / "logs" / "month=1").mkdir(parents=True)
    pq.write_table(pa.Table.from_pandas(LOG[:2]), folder / "logs" / "month=1" / "a.parquet")
    LOG[2:].to_csv(folder / "logs" / "z.csv", index=False)
    (folder / "logs" / "_SUCCESS").touch()
    return folder / "logs"


def as_glob(folder: Path) -> str:
    for start in range(len(LOG)):
        LOG[start : start + 1].to_csv(folder / f"part-{start}.csv", index=False)
    return str(folder / "part-*.csv")


SOURCES = {
    "csv": as_csv,
    "tsv.gz": as_tsv_gz,
    "csv.zst": as_csv_zst,
    "parquet": as_parquet,
    "folder": as_folder,
    "glob": as_glob,
    "pandas": lambda _: LOG,
    "pandas categories": lambda _: LOG.astype({"user_id": "category", "event": "category"}),
    "pandas objects": lambda _: LOG.astype({"user_id": object, "event": object}),
    "pandas floats": lambda _: LOG.astype({"user_id": float}),
    "polars": lambda _: pl.from_pandas(LOG),
    "polars categories": lambda _: pl.from_pandas(LOG).with_columns(
        pl.col("event").cast(pl.Categorical)
    ),
    "arrow": lambda _: pa.Table.from_pandas(LOG),
    "record batch": lambda _: pa.Table.from_pandas(LOG).to_batches()[0],
    "struct array": lambda _: pa.Table.from_pandas(LOG).to_struct_array().chunk(0),
    "stream": lambda _: pa.Table.from_pandas(LOG).to_reader(max_chunksize=2),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same_table(kind, tmp_path):
    events = read(SOURCES[kind](tmp_path))
    pd.testing.assert_frame_equal(
        events.to_pandas(), LOG, check_dtype=False, check_index_type=False
    )
    ids = pa.dictionary(pa.int32(), pa.int64())
    assert events.table.schema == pa.schema(
        {
            "user_id": ids,
            "item_id": ids,
            "event": pa.dictionary(pa.int32(), pa.string()),
            "timestamp": pa.timestamp("us", "UTC"),
            "quantity": pa.float32(),
        }
    )
    assert events.table["user_id"].chunk(0).dictionary.to_pylist() == [1, 2, 3]
    assert (events.report.n_rows, events.report.n_bad, len(events.quarantine)) == (5, 0, 0)


def test_text_ids_are_the_same_from_every_source(tmp_path):
    log = LOG.assign(user_id=["a", "0108775015", "é", "0108775015", "a"])
    log.to_csv(tmp_path / "log.csv", index=False)
    pq.write_table(pa.Table.from_pandas(log), tmp_path / "log.parquet")
    for source in (tmp_path / "log.csv", tmp_path / "log.parquet", log, pl.from_pandas(log)):
        assert read(source).to_pandas()["user_id"].tolist() == log["user_id"].tolist()


def test_events_are_returned_unchanged():
    events = read(LOG)
    assert read_events(events) is events


def test_own_column_names_and_extra_columns():
    renamed = LOG.rename(columns={"user_id": "customer", "timestamp": "t_dat"}).assign(
        junk=[[]] * 5
    )
    events = read(renamed, columns={"user_id": "customer", "timestamp": "t_dat"})
    assert events.table.equals(read(LOG).table)


def test_quantity_defaults_to_one_and_price_is_optional(tmp_path):
    path = csv_file(
        tmp_path,
        "1,10,view,2024-01-02,,9.5\n1,10,view,2024-01-02,2,free\n",
        header=HEADER.replace("\n", ",price\n"),
    )
    events = read(path)
    assert events.table["quantity"].to_pylist() == [1, 2]
    assert events.table["price"].to_pylist() == [9.5, None]
    assert "price" not in read(LOG).table.column_names
    assert read(LOG.drop(columns="quantity")).table["quantity"].to_pylist() == [1] * 5


def test_blocks_do_not_show(tmp_path, monkeypatch):
    lines = [f"u{i % 7},{i % 5},view,2024-01-{i % 28 + 1:02},1\n" for i in range(200)]
    lines[50:50] = ["broken\n", "\n", "u1,5,veiw,2024-01-02,1\n"]
    path = csv_file(tmp_path, *lines)
    whole = read(path)
    monkeypatch.setattr(csv_source, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(sources, "BLOCK_ROWS", 7)
    monkeypatch.setattr(duplicates, "_ROWS_AT_ONCE", 11)
    for again in (read(path), read(whole.table)):
        assert again.table.equals(whole.table)
    assert read(path).quarantine.equals(whole.quarantine)
    assert reasons(whole) == [(50, "wrong number of columns"), (51, "unknown event")]


@pytest.mark.parametrize(
    ("group", "blocks"),
    [(3, [6, 6, 6, 2]), (7, [7, 7, 6]), (10, [5, 5, 5, 5]), (15, [5, 5, 5, 5]), (20, [7, 7, 6])],
)
def test_no_row_group_of_parquet_is_cut_where_it_need_not_be(tmp_path, monkeypatch, group, blocks):
    """A dictionary belongs to a row group, and is checked once for every block that has it."""
    monkeypatch.setattr(sources, "BLOCK_ROWS", 7)
    table = pa.table({"number": range(20), "item_id": pa.array(range(20)).cast(pa.string())})
    pq.write_table(table, tmp_path / "log.parquet", row_group_size=group)
    found = list(sources.ParquetSource(tmp_path / "log.parquet").blocks({"a": "number"}))
    assert [len(block.rows) for block in found] == blocks
    assert np.concatenate([block.rows for block in found]).tolist() == list(range(20))
    assert pa.concat_arrays([block.columns["a"] for block in found]) == table["number"].chunk(0)


def test_dictionaries_that_repeat_a_value_are_one_id():
    twice = pa.DictionaryArray.from_arrays([0, 1, 2, 1], pa.array(["b", "a", "b"]))
    other = pa.DictionaryArray.from_arrays([1, 0], pa.array(["c", "b"]))
    events = read(frame(user_id=pa.chunked_array([twice, other])))
    assert events.to_pandas()["user_id"].tolist() == ["b", "a", "b", "a", "b", "c"]
    assert events.codes("user_id")[0].to_pylist() == ["a", "b", "c"]


def test_result_is_read_back_from_parquet_as_it_was(tmp_path):
    events = read(LOG)
    pq.write_table(events.table, tmp_path / "events.parquet")
    assert read(tmp_path / "events.parquet").table.equals(events.table)


def test_duplicates_are_counted_and_dropped_on_request():
    log = pd.concat([LOG, LOG.iloc[[1, 3]], LOG.iloc[[1]].assign(quantity=np.float32(9))])
    kept = read(log)
    assert (kept.report.n_duplicates, kept.report.n_good, len(kept)) == (2, 8, 8)
    dropped = read(log, duplicates="drop")
    assert (dropped.report.n_duplicates, dropped.report.n_good, len(dropped)) == (2, 8, 6)
    assert dropped.table.equals(kept.table.take([0, 1, 2, 3, 4, 7]))


def test_summary_says_what_was_read():
    events = read(frame(event=["view", "view", "veiw"]))
    assert repr(events) == (
        "Events(2 rows, 2024-01-02 to 2024-01-02; 3 rows read: 2 good (1 exact duplicates), "
        "1 bad (1 unknown event))"
    )
    assert repr(events.where(np.zeros(2, bool))).startswith("Events(0 rows; 3 rows read")


DIRTY = {
    "user_id": ["1", "2", "", "nan", "1", "2"],
    "item_id": ["7", "8", "", "7", "8", "7"],
    "event": ["view", "cart", "veiw", "view", "cart", "view"],
    "timestamp": ["2024-01-02", "2024-01-03", "soon", "1980-01-01", "2099-01-01", "2024-01-02"],
    "quantity": ["", "1", "2", "-1", "x", "1"],
}


def _reference(row: tuple[str, ...]) -> str | None:
    """The rules, one row at a time."""
    user, item, event, timestamp, quantity = row
    if user in ("", "nan") or item == "":
        return "missing id"
    if event == "veiw":
        return "unknown event"
    late = {
        "soon": "unreadable timestamp",
        "1980-01-01": "timestamp before 1990",
        "2099-01-01": "timestamp in the future",
    }
    if timestamp in late:
        return late[timestamp]
    return "quantity is not a number of at least 0" if quantity in ("-1", "x") else None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*map(st.sampled_from, DIRTY.values())), max_size=30))
def test_any_dirty_table_is_accounted_for(rows):
    rows = [("1", "7", "view", "2024-01-02", "1"), *rows]
    events = read(pd.DataFrame(rows, columns=list(DIRTY)))
    expected = [_reference(row) for row in rows]
    good = [row for row, reason in zip(rows, expected, strict=True) if reason is None]
    assert reasons(events) == [(i, reason) for i, reason in enumerate(expected) if reason]
    assert events.report.n_rows == len(rows) == events.report.n_good + events.report.n_bad
    assert events.report.reasons == Counter(filter(None, expected))
    assert events.to_pandas()["user_id"].tolist() == [row[0] for row in good]
    distinct = {(*row[:4], row[4] or "1") for row in good}
    assert events.report.n_duplicates == len(good) - len(distinct)
    assert len(read(events.table, duplicates="drop")) == len(distinct)
