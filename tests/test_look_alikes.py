"""Ids that look alike: which are counted, and that they stay apart."""

import unicodedata

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodgen_rec.events import read_events
from prodgen_rec.events.look_alikes import look_alikes

COMPOSED, APART = "jos\u00e9", "jose\u0301"


@pytest.mark.parametrize(
    ("ids", "example"),
    [
        (["ann", "ann "], ("ann", "ann ")),
        (["\tann", "ann"], ("ann", "\tann")),
        (["ann", "\u00a0ann"], ("ann", "\u00a0ann")),  # a blank that is not ASCII
        (["ann", "a\u200bnn"], ("ann", "a\u200bnn")),
        (["\ufeffann", "ann"], ("ann", "\ufeffann")),  # the mark at the beginning of a file
        ([COMPOSED, APART], (COMPOSED, APART)),
        ([" ann", "ann "], (" ann", "ann ")),  # neither is as it looks
        ([f" {APART}\u200d", COMPOSED], (COMPOSED, f" {APART}\u200d")),
    ],
)
def test_ids_that_look_alike_are_counted_with_a_pair(ids, example):
    found = look_alikes(pa.array(sorted(ids)))
    assert (found.n, found.example) == (1, example)


@pytest.mark.parametrize(
    "ids",
    [
        ["ann", "Ann", "ANN"],  # codes in which case counts
        ["ann", "a nn", "a  nn"],
        ["jose", COMPOSED],
        ["\ufb01", "fi"],  # a ligature: NFKC would make them one
        [" ann", "\u200bbob", APART],  # odd, but nothing looks like them
        ["7", "07"],
    ],
)
def test_other_ids_are_not(ids):
    assert look_alikes(pa.array(sorted(ids))) is None
    assert look_alikes(pa.array([7, 8])) is None
    assert look_alikes(pa.array([], pa.string())) is None


@given(st.sets(st.text("ae\u0301\u00e9\u200b \u00a0", min_size=1, max_size=4), max_size=30))
def test_the_count_is_how_many_ids_fewer_there_would_be(ids):
    def seen(text):
        return unicodedata.normalize("NFC", text.replace("\u200b", "").strip())

    found = look_alikes(pa.array(sorted(ids), pa.string()))
    assert (found.n if found else 0) == len(ids) - len({seen(one) for one in ids})
    if found:
        one, other = found.example
        assert one != other
        assert seen(one) == seen(other)


def test_the_report_tells_and_the_ids_stay_apart():
    users = ["ann", "ann ", "bob", "Bob", "a\u200bnn"]
    log = pd.DataFrame(
        {"user_id": users, "item_id": [1, 2, 3, 4, 5], "event": "view", "timestamp": 1_700_000_000}
    )
    events = read_events(log)
    assert events.to_pandas()["user_id"].tolist() == users
    assert str(events.report).endswith(
        "0 bad; of user_id, 2 look like another but are not the same, such as 'ann' and 'ann '"
    )
    assert "look" not in str(read_events(log[2:4]).report)
