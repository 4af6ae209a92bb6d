"""What a log's values may look like, and what is refused: ids, timestamps, events, quantities."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_logs import (
    GOOD_LINE,
    LOG,
    NOW,
    csv_file,
    frame,
    read,
    reasons,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from prodgen_rec.errors import EventsError
from prodgen_rec.events import Reason, read_events


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["1", "2"], [1, 2]),
        (["1", "02"], ["1", "02"]),
        (["0", "-5"], [0, -5]),
        (["1", "1e3"], ["1", "1e3"]),
        (["999999999999999999", "9999999999999999999"], ["999999999999999999", "9" * 19]),
    ],
)
def test_untyped_ids_become_integers_only_without_loss(ids, expected, tmp_path):
    path = csv_file(tmp_path, *(f"{one},10,view,2024-01-02,1\n" for one in ids))
    assert read(path).to_pandas()["user_id"].tolist() == expected


def test_a_bad_row_does_not_decide_the_type_of_ids(tmp_path):
    path = csv_file(tmp_path, GOOD_LINE, "A17,10,veiw,2024-01-02,1\n")
    assert read(path).to_pandas()["user_id"].tolist() == [1]


def test_typed_text_stays_text():
    assert read(frame(user_id=["1", "2"])).to_pandas()["user_id"].tolist() == ["1", "2"]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([1.0, None, float("nan"), 2.5, 2.0**60, 7.0]), [None, "m", "m", "f", "f", None]),
        (pa.array([Decimal("17.00"), Decimal("17.50"), None]), [None, "f", "m"]),
        (pa.array([1, 2**63], pa.uint64()), [None, "f"]),
        (pa.array(["a", "", "  ", None, "nan", "NULL", "Null"]), [None, *"mmmmm", None]),
        (pa.array(["a\0", "x" * 512, "x" * 513]), ["u", None, "u"]),
        (pa.array([b"a", b"\xff"]), [None, "8"]),
        (pa.array(["a", None, "a"]).dictionary_encode(), [None, "m", None]),
    ],
)
def test_unusable_ids(ids, expected):
    names = {
        "m": Reason.MISSING_ID,
        "f": Reason.FRACTIONAL_ID,
        "u": Reason.UNSAFE_ID,
        "8": Reason.INVALID_UTF8,
    }
    found = [(row, names[code]) for row, code in enumerate(expected) if code]
    for column in ("user_id", "item_id"):
        assert reasons(read(frame(**{column: ids}))) == found


def test_a_column_of_nulls():
    for ids in (pa.nulls(1), pa.nulls(1, pa.int64()), pa.nulls(1).cast(pa.string())):
        with pytest.raises(EventsError, match="no good row is left; most often: missing id"):
            read(frame(user_id=ids))


@pytest.mark.parametrize("kind", ["decimal32", "decimal64", "decimal128", "decimal256"])
def test_whole_decimals_become_integers(kind):
    if not hasattr(pa, kind):
        pytest.skip(f"this pyarrow has no {kind}")
    ids = pa.array([Decimal("17.00"), Decimal(-3)], getattr(pa, kind)(5, 2))
    assert read(frame(user_id=ids)).to_pandas()["user_id"].tolist() == [17, -3]


def test_views_and_large_text_are_text():
    for kind in (pa.string_view(), pa.binary_view(), pa.large_string(), pa.large_binary()):
        ids = pa.array(["é", "b"]).cast(kind)
        assert read(frame(user_id=ids)).to_pandas()["user_id"].tolist() == ["é", "b"]


def test_mixed_objects_name_a_row_of_each():
    log = LOG.assign(user_id=[None, 1, 2, "a", "b"])
    log["user_id"] = log["user_id"].astype(object)
    with pytest.raises(EventsError, match=r"'user_id' holds int \(row 1\) and str \(row 3\)"):
        read(log)


def test_files_that_disagree_on_the_type_of_ids_are_named(tmp_path):
    pq.write_table(frame(user_id=[1]), tmp_path / "a.parquet")
    pq.write_table(frame(user_id=["1"]), tmp_path / "b.parquet")
    with pytest.raises(EventsError, match=r"int ids in .*a\.parquet and str ids in .*b\.parquet"):
        read(tmp_path)


def test_untyped_ids_follow_typed_ones(tmp_path):
    csv_file(tmp_path, GOOD_LINE)
    pq.write_table(frame(user_id=["x1"]), tmp_path / "a.parquet")
    assert read(tmp_path).to_pandas()["user_id"].tolist() == ["x1", "1"]


def test_untyped_text_beside_typed_integers_is_refused(tmp_path):
    csv_file(tmp_path, GOOD_LINE.replace("1,10", "01,10"))
    pq.write_table(frame(user_id=[1]), tmp_path / "b.parquet")
    with pytest.raises(EventsError, match=r"int ids in .*b\.parquet and str ids in .*log\.csv"):
        read(tmp_path)


MOMENT = datetime(2024, 2, 29, 10, 20, 30, 123456, tzinfo=UTC)
SECOND = MOMENT.replace(microsecond=0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", SECOND.replace(hour=0, minute=0, second=0)),
        ("2024-02-29 10", SECOND.replace(minute=0, second=0)),
        ("2024-02-29T10:20", SECOND.replace(second=0)),
        (" 2024-02-29T10:20:30 ", SECOND),
        ("2024-02-29 10:20:30 UTC", SECOND),
        ("2024-02-29T10:20:30Z", SECOND),
        ("2024-02-29T12:20:30+02:00", SECOND),
        ("2024-02-29T05:50:30.123456-0430", MOMENT),
        ("2024-02-29T10:20:30.123456789", MOMENT),
        ("2024-02-29T10:20:30.123456999Z", MOMENT),
        ("1709202030", SECOND),
        ("1709202030.5", SECOND.replace(microsecond=500_000)),
        ("1709202030123", MOMENT.replace(microsecond=123_000)),
        ("1709202030123456", MOMENT),
        ("1709202030123456789", MOMENT),
    ],
)
def test_text_timestamps(text, expected):
    (value,) = read(frame(timestamp=[text])).numbers("timestamp")
    assert value == round(expected.timestamp() * 1e6)


@pytest.mark.parametrize(
    "text",
    ["2023-02-29", "1900-02-29", "2024-04-31", "2024-13-01", "2024-01-01T24:00", "01/02/2024",
     "2024-1-2", "2024-01-01Z", "2024-01-01 10:20:61", "yesterday", "", "1e9", "nan", None,
     "99999999999999999999"],
)  # fmt: skip
def test_unreadable_timestamps(text):
    events = read(frame(timestamp=["2024-01-01", text]))
    assert reasons(events) == [(1, "unreadable timestamp")]


@settings(max_examples=50, deadline=None)
@given(moment=st.datetimes(datetime(1990, 1, 1), datetime(2024, 1, 1)))
def test_iso_text_is_read_as_python_reads_it(moment):
    column = [moment.isoformat(), moment.isoformat(" ") + "+05:45"]
    values = read(frame(timestamp=column), now=datetime(2025, 1, 1)).numbers("timestamp")
    zone = timezone(timedelta(hours=5, minutes=45))
    exact = [moment.replace(tzinfo=UTC), moment.replace(tzinfo=zone)]
    expected = [
        (one - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for one in exact
    ]
    # The zone may carry a moment of the first day of 1990 before it.
    assert values.tolist() == [one for one in expected if one >= 631_152_000_000_000]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.dates(date(1, 1, 1)).map(str)
        | st.from_regex(r"\A(19|20)\d\d-(0[1-9]|1[0-2])-(2[89]|3[01])\Z"),
        min_size=1,
    )
)
def test_only_dates_that_exist_are_readable(texts):
    column = pa.table(
        {
            "user_id": [0] * (len(texts) + 1),
            "item_id": [0] * (len(texts) + 1),
            "event": ["view"] * (len(texts) + 1),
            "timestamp": ["2024-01-01", *texts],
        }
    )
    unreadable = {row for row, why in reasons(read(column)) if why == "unreadable timestamp"}
    assert unreadable == {row for row, text in enumerate(texts, 1) if not _is_date(text)}


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_datetimes_of_every_unit_and_zone(unit):
    second = int(SECOND.timestamp()) * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    for kind in (pa.timestamp(unit), pa.timestamp(unit, "UTC"), pa.timestamp(unit, "+05:00")):
        events = read(frame(timestamp=pa.array([second], pa.int64()).cast(kind)))
        assert events.numbers("timestamp").tolist() == [int(SECOND.timestamp() * 1e6)]


def test_dates_and_numbers():
    day = date(2024, 2, 29)
    midnight = int(datetime(2024, 2, 29, tzinfo=UTC).timestamp())
    for column in (
        pa.array([day], pa.date32()),
        pa.array([day], pa.date64()),
        pa.array([midnight]),
        pa.array([float(midnight)]),
        pa.array([midnight * 1_000], pa.uint64()),
        pa.array([Decimal(midnight)]),
        pa.array([midnight * 10**9]),
        pa.array([midnight * 1e9]),
    ):
        assert read(frame(timestamp=column)).numbers("timestamp").tolist() == [midnight * 10**6]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([datetime(2024, 1, 1), datetime(1989, 12, 31), datetime(2024, 6, 3), None]),
        pa.array([1704067200, 0, 4102444800, None]),
        pa.array([1704067200.0, -1e300, 1e300, float("nan")]),
        pa.array(["2024-01-01", "1989-12-31 23:59:59.999999", "9999-12-31", "?"]),
        pa.array([1704067200, -(2**63), 2**62, None]),
        pa.array([1704067200, -(2**63), 2**63 - 1, None], pa.timestamp("s")),
        pa.array([19723, -(2**31), 2**31 - 1, None], pa.int32()).cast(pa.date32()),
    ],
)
def test_implausible_timestamps(column):
    assert reasons(read(frame(timestamp=column))) == [
        (1, "timestamp before 1990"),
        (2, "timestamp in the future"),
        (3, "unreadable timestamp"),
    ]


def test_a_clock_may_be_a_day_ahead():
    moments = [NOW + timedelta(days=1), NOW + timedelta(days=1, microseconds=1)]
    assert reasons(read(frame(timestamp=moments))) == [(1, "timestamp in the future")]
    assert reasons(read(frame(timestamp=moments), now=NOW.replace(tzinfo=None)))
    assert not reasons(read_events(frame(timestamp=moments)))


def test_events_are_known_by_their_exact_name():
    names = ["view", "View", " view", "buy", "", None]
    events = read(frame(event=names))
    assert [row for row, _ in reasons(events)] == [1, 2, 3, 4, 5]
    assert len(read(frame(event=["buy", "View"]), event_weights={"View": 1, "buy": 5})) == 2
    assert len(read(frame(event=[1, 2]), event_weights={"1": 1, "2": 5})) == 2


@pytest.mark.parametrize(
    ("quantities", "expected"),
    [
        (["1", " 2.5 ", "", None, "1e2", ".5"], [1, 2.5, 1, 1, 100, 0.5]),
        ([0, 3, None], [0, 3, 1]),
        (pa.array([0.0, -0.0, None]), [0, 0, 1]),
        (pa.array([Decimal("1.5")]), [1.5]),
        (pa.nulls(1), [1]),
    ],
)
def test_quantities(quantities, expected):
    assert read(frame(quantity=quantities)).table["quantity"].to_pylist() == expected


@pytest.mark.parametrize(
    "quantities",
    [["1", "-1", "two", "nan", "inf", "1e99", "1,5"], [1.0, -1, np.nan, np.inf, -np.inf, 1e39]],
)
def test_bad_quantities(quantities):
    found = reasons(read(frame(quantity=pa.array(quantities))))
    assert found == [(row, Reason.BAD_QUANTITY) for row in range(1, len(quantities))]
