"""Nights of the small shop at the command line, for the tests of what can go wrong there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from command_line import Outcome, assert_refused, done, run
from nightly_runs import tree

from prodgen_rec.nightly import latest

BEFORE, NIGHT = "2026-11-25", "2026-11-26"
NOBODY_DUE, GATE, LOCKED, DELIVERY = 8, 9, 10, 11
SETTINGS = """\
kernel = "tensorflow-float32"
[recipe]
users_per_part = 20
n_items = 2
n_pictures = 1
"""


class Nights:
    """A place where a night is published, and the command for the next one.

    Parameters
    ----------
    folder
        For the place and the settings.
    published
        A place to begin with.
    bundle, events
        What nights are made from, unless a call says otherwise.
    """

    def __init__(self, folder: Path, published: Path | None, bundle: Path, events: Path) -> None:
        self.place, self._settings = folder / "place", folder / "nightly.toml"
        self._files = {"bundle": bundle, "events": events, "to": self.place}
        self._settings.write_text(SETTINGS)
        if published:
            shutil.copytree(published, self.place)

    def words(self, *more: Any, night: str = NIGHT, **files: Any) -> list[Any]:
        """The command for a night."""
        named = {"config": self._settings, "date": night} | self._files | files
        return ["nightly", *(word for name in named for word in (f"--{name}", named[name])), *more]

    def made(self, *more: Any, **files: Any) -> dict[str, Any]:
        """What a night that is published says of itself; all users and rows are accounted for."""
        found = done(*self.words("--json", *more, **files)).json
        assert found["users_in"] == found["users_out"] + sum(found["refused"].values())
        log = found["log"]
        assert log["rows"] == log["good"] + log["bad"]
        assert log["bad"] == sum(log["reasons"].values())
        assert self.published == found["run_id"]
        return dict(found)

    def refused(self, code: int, text: str, *more: Any, **files: Any) -> Outcome:
        """A night that is not published; whoever reads sees the one before, as it was."""
        before, seen = self.published, self.rows()
        outcome = run(*self.words("--quiet", *more, **files))
        assert_refused(outcome, code, text)
        assert self.published == before
        assert self.rows() == seen
        return outcome

    @property
    def published(self) -> str:
        """Name of the published run."""
        return latest(self.place).manifest.run_id

    def rows(self) -> list[dict[str, Any]]:
        """What is published."""
        return list(latest(self.place).table().to_pylist())

    def tree(self) -> dict[str, bytes]:
        """Every file."""
        return tree(self.place)
