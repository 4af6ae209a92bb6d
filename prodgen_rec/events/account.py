"""What is known of a log while it is being read: how many rows were good, and what was bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow.compute as pc

from prodgen_rec.columns import RAW, REASON, ROW, SOURCE
from prodgen_rec.errors import EventsError
from prodgen_rec.events.assembly import Part
from prodgen_rec.events.container import ReadReport
from prodgen_rec.events.look_alikes import LookAlikes
from prodgen_rec.events.reasons import Reason

_REMEDY: Final = "repair the rows, or raise max_bad_fraction to leave them out"
_REMEDIES: Final[Mapping[str, str]] = {
    Reason.COLUMN_COUNT: "a row is one line, with as many values as the header has names",
    Reason.INVALID_UTF8: "save the log as UTF-8",
    Reason.UNREADABLE_TIMESTAMP: (
        "expected datetimes, dates, ISO 8601 text, or seconds, ms, µs or ns since 1970"
    ),
    Reason.FUTURE_TIMESTAMP: (
        "correct them at their source; in Python, read_events(now=…) says when the log ends"
    ),
}


@dataclass
class Account:
    """Counts of the rows of a log, and the first bad row of each kind.

    Parameters
    ----------
    label
        What errors call the log.
    """

    label: str
    n_good: int = 0
    _reasons: Counter[str] = field(default_factory=Counter)
    _examples: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """Count the rows of a checked block."""
        self.n_good += part.n_good
        for pair in pc.value_counts(part.quarantine[REASON]).to_pylist():
            reason = pair["values"]
            self._reasons[reason] += pair["counts"]
            if reason not in self._examples:
                of_reason = part.quarantine.filter(pc.equal(part.quarantine[REASON], reason))
                self._examples[reason] = of_reason.slice(0, 1).to_pylist()[0]

    def merge(self, other: Account) -> None:
        """Add the counts of what follows in the log."""
        self.n_good += other.n_good
        self._reasons.update(other._reasons)
        self._examples = other._examples | self._examples

    @property
    def n_bad(self) -> int:
        """Rows in quarantine."""
        return self._reasons.total()

    @property
    def reasons(self) -> dict[str, int]:
        """Bad rows by reason, the most frequent first, equals by name."""
        return dict(sorted(self._reasons.items(), key=lambda pair: (-pair[1], pair[0])))

    def report(
        self, n_duplicates: int, look_alikes: Mapping[str, LookAlikes | None] | None = None
    ) -> ReadReport:
        """The same for people."""
        alike = {name: some for name, some in (look_alikes or {}).items() if some is not None}
        n_rows = self.n_good + self.n_bad
        return ReadReport(n_rows, self.n_good, self.n_bad, n_duplicates, self.reasons, alike)

    def refuse_bad_log(self, max_bad_fraction: float, known_events: Sequence[str]) -> None:
        """Refuse a log that is empty or has too many bad rows.

        Raises
        ------
        EventsError
            Names the worst reason and an example.
        """
        n_bad, n_rows = self.n_bad, self.n_good + self.n_bad
        if n_rows == 0:
            raise EventsError(f"{self.label}: the log is empty; expected at least one event")
        if self.n_good > 0 and n_bad <= max_bad_fraction * n_rows:
            return
        reason, count = next(iter(self.reasons.items()))
        example = self._examples[reason]
        allowed = (
            f"max_bad_fraction is {max_bad_fraction:g}" if self.n_good else "no good row is left"
        )
        remedy = _REMEDIES.get(
            reason, "repair the rows, or raise max_bad_fraction to leave them out"
        )
        if reason == Reason.UNKNOWN_EVENT:
            known = ", ".join(known_events)
            remedy = f"known are {known}; name the log's own events in event_weights"
        raise EventsError(
            f"{self.label}: {n_bad:,} of {n_rows:,} rows are bad and {allowed}; most often: "
            f"{reason} ({count:,}), such as {example[SOURCE]} row {example[ROW]}: {example[RAW]}; "
            f"{remedy}"
        )
