"""Logs that are broken: single lines, whole files, and what the errors say."""

from __future__ import annotations

import gzip
import re
from datetime import datetime

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from event_logs import (
    GOOD_LINE,
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

from prodgen_rec.errors import ConfigError, EventsError
from prodgen_rec.events import csv_source


def test_a_bad_line_spoils_no_other(tmp_path):
    events = read(
        csv_file(
            tmp_path,
            GOOD_LINE,
            "2,10,view\n",
            "\n",
            b"\xff3,10,view,2024-01-02,1\n",
            b"4,\xff,view\n",
            '"5",10,"view","2024-01-02",1\n',
            '6,"10,view,2024-01-02,1\n',
            "7,10,view,2024-01-02,1,,\n",
            "8,10,view\r,2024-01-02,1\n",
            "\n9,10,view,2024-01-02,1",
        )
    )
    assert events.to_pandas()["user_id"].tolist() == [1, 5, 9]
    wrong, utf8 = "wrong number of columns", "invalid UTF-8"
    assert reasons(events) == [
        (1, wrong),
        (2, utf8),
        (3, wrong),
        (5, wrong),
        (6, wrong),
        (7, wrong),
    ]
    raw = events.quarantine["raw"].to_pylist()
    assert raw[0] == "2,10,view"
    assert raw[1] == (r"user_id=\xff3, item_id=10, event=view, timestamp=2024-01-02, quantity=1")
    assert raw[2] == r"4,\xff,view"
    assert set(events.quarantine["source"].to_pylist()) == {str(tmp_path / "log.csv")}


@settings(max_examples=300, deadline=None)
@given(st.text('ab,"\n\r\0é', max_size=60), st.sampled_from([",", ";"]))
def test_fast_and_careful_parsing_agree(text, delimiter):
    lines = (text + "\n").encode()
    fast = csv_source._parse_block(lines, delimiter, 2, [1, 0])
    careful, kept, malformed, n_lines = csv_source._parse_lines(lines, delimiter, 2, [1, 0])
    assert len(kept) + len(malformed) == n_lines
    if fast is not None:
        assert not malformed
        assert [column.to_pylist() for column in fast] == [c.to_pylist() for c in careful]


def test_quarantine_describes_typed_values():
    table = frame(
        user_id=pa.array([1.5, 2.0]),
        timestamp=pa.array([datetime(2024, 1, 2)] * 2, pa.timestamp("ms", "Europe/Berlin")),
    )
    (raw,) = read(table).quarantine["raw"].to_pylist()
    assert raw == "user_id=1.5, item_id=10, event=view, timestamp=2024-01-02 00:00:00.000"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"columns": {"userid": "x"}}, "maps 'userid', which is not one of our columns: user_id"),
        ({"duplicates": "remove"}, "expected 'keep' or 'drop'"),
        ({"max_bad_fraction": 1.5}, "max_bad_fraction is 1.5; expected 0 to 1"),
        ({"max_bad_fraction": float("nan")}, "expected 0 to 1"),
        ({"event_weights": {}}, "event_weights is empty"),
        ({"event_weights": {"view": float("nan")}}, r"\['view'\] is nan; expected a finite"),
        ({"event_weights": {"view": "1"}}, r"\['view'\] is '1'; expected a finite"),
        ({"event_weights": {1: 1.0}}, "has the name 1; expected non-empty text"),
    ],
)
def test_settings_are_checked(changes, text):
    with pytest.raises(ConfigError, match=text):
        read(LOG, **changes)


def test_missing_columns_come_with_the_remedy():
    log = LOG.rename(columns={"user_id": "customer_id", "event": "action"})
    text = (
        "DataFrame: missing column 'user_id', 'event'; present: customer_id, item_id, action, "
        "timestamp, quantity; name the log's own columns with "
        "columns={'user_id': 'customer_id'}, or --columns user_id=customer_id"
    )
    with pytest.raises(EventsError, match=re.escape(text)):
        read(log)
    with pytest.raises(EventsError, match="missing column 'gone'; present: user_id"):
        read(LOG, columns={"quantity": "gone"})


def test_a_column_that_occurs_twice(tmp_path):
    header = HEADER.replace("quantity", "event")
    with pytest.raises(EventsError, match="column 'event' occurs 2 times"):
        read(csv_file(tmp_path, GOOD_LINE, header=header))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"user_id": [True]}, "Table: column 'user_id' is of type bool; expected text or"),
        ({"item_id": [[1]]}, "column 'item_id' is of type list"),
        ({"event": [1.5]}, "column 'event' is of type double; expected text or integer"),
        ({"timestamp": [True]}, "column 'timestamp' is of type bool; expected datetime or"),
        ({"quantity": [True]}, "column 'quantity' is of type bool; expected integer or"),
    ],
)
def test_columns_of_hopeless_type(changes, text):
    with pytest.raises(EventsError, match=text):
        read(frame(**changes))


def test_empty_logs(tmp_path):
    for source in (LOG[:0], frame(user_id=[]), csv_file(tmp_path)):
        with pytest.raises(EventsError, match="the log is empty; expected at least one event"):
            read(source)
    with pytest.raises(EventsError, match=r"log\.csv is empty; expected a header line"):
        read(csv_file(tmp_path, header=""))
    (tmp_path / "nothing").mkdir()
    for source in (tmp_path / "nothing", str(tmp_path / "*.pq")):
        with pytest.raises(EventsError, match="there are no files in"):
            read(source)


def test_too_many_bad_rows_are_refused_with_an_example(tmp_path):
    path = csv_file(
        tmp_path, GOOD_LINE * 8, "1,,view,2024-01-02,1\n", GOOD_LINE.replace("ew", "we")
    )
    assert read(path, max_bad_fraction=0.2).report.n_bad == 2
    text = (
        f"{path}: 2 of 10 rows are bad and max_bad_fraction is 0.1; most often: missing id (1), "
        f"such as {path} row 8: user_id=1, item_id=, event=view, timestamp=2024-01-02, quantity=1; "
        "repair the rows"
    )
    with pytest.raises(EventsError, match=re.escape(text)):
        read(path, max_bad_fraction=0.1)


def test_a_log_without_a_good_row_is_refused_whatever_the_setting():
    text = "1 of 1 rows are bad and no good row is left; most often: unknown event"
    with pytest.raises(EventsError, match=text) as caught:
        read(frame(event=["veiw"]))
    assert "known are view, click, wishlist, cart, purchase, return; name the log's" in str(
        caught.value
    )


def test_unreadable_files_are_named(tmp_path):
    whole = as_parquet(tmp_path).read_bytes()
    for name, content in {
        "short.parquet": whole[: len(whole) // 2],
        "text.parquet": b"not a Parquet file",
        "zero.parquet": b"",
        "short.csv.gz": gzip.compress(LOG.to_csv(index=False).encode())[:-20],
        "text.csv.gz": b"not compressed",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EventsError, match=rf"{re.escape(name)} cannot be read: "):
            read(tmp_path / name)


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "log.parquet"
    table = frame(user_id=np.arange(5000))
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[2000] ^= 4
    path.write_bytes(content)
    with pytest.raises(EventsError, match=r"log\.parquet cannot be read: .*CRC"):
        read(path)


def test_a_header_in_another_encoding(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(HEADER.encode("utf-16"))
    with pytest.raises(EventsError, match="the header is not UTF-8"):
        read(path)


def test_wrong_paths_are_named_and_close_ones_suggested(tmp_path):
    as_csv(tmp_path)
    with pytest.raises(EventsError, match=r"there is no '.*lgo\.csv'; did you mean '.*log\.csv'"):
        read(tmp_path / "lgo.csv")
    with pytest.raises(EventsError, match=r"its folder '.*nowhere' doesn't exist either"):
        read(tmp_path / "nowhere" / "log.csv")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(EventsError, match=r"notes\.txt is neither Parquet nor CSV by its name"):
        read(tmp_path)


def test_objects_that_hold_no_table():
    with pytest.raises(EventsError, match="cannot be read from a LazyFrame; expected a path"):
        read(pl.from_pandas(LOG).lazy())


def test_strings_of_a_file_are_not_trusted_to_be_utf8(tmp_path):
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, *pa.array([b"ok", b"\xff\xfe"]).buffers()[1:]]
    )
    pq.write_table(frame(user_id=broken), tmp_path / "log.parquet")
    assert reasons(read(tmp_path / "log.parquet")) == [(1, "invalid UTF-8")]


def test_csv_written_by_arrow_is_read(tmp_path):
    pacsv.write_csv(pa.Table.from_pandas(LOG), tmp_path / "log.csv")
    assert read(tmp_path / "log.csv").table.equals(read(LOG).table)
