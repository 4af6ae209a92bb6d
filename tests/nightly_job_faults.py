"""Breaks the nightly job at its first step, its second, … and lets readers look all the while.

Run as a program, in a process of its own. TensorFlow is loaded once and does nothing there: a
child is forked for each try, and runs the command line. The steps are those of nightly_faults.

    python tests/nightly_job_faults.py break kill|errors FOLDER BUNDLE EVENTS FIRST STRIDE
    python tests/nightly_job_faults.py read PLACE
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from command_line import FILES
from nightly_faults import GOT_OVER, Fault, in_child
from nightly_runs import tree

from prodgen_rec.cli import main as prodgen_rec
from prodgen_rec.errors import DeliveryReplacedError
from prodgen_rec.nightly import Delivery, latest, verify

SETTINGS = """\
kernel = "tensorflow-float32"
keep = 1

[recipe]
users_per_part = 100
n_items = 2
n_pictures = 1
"""
NIGHTS = ("2026-11-25", "2026-11-26")


class Job:
    """The command that makes a night, with what it said."""

    def __init__(self, folder: Path, bundle: str, events: str) -> None:
        (folder / "nightly.toml").write_text(SETTINGS)
        self.said = folder / "said.txt"
        self._words = ["nightly", "--config", folder / "nightly.toml", "--quiet"]
        self._words += ["--bundle", bundle, "--events", events]

    def code(self, place: Path, night: str, fault: Fault | None = None) -> int:
        """Exit code of a child that makes a night, negative where a signal ended it."""
        words = [*self._words, "--to", place, "--date", night, "--seed", night[-2:]]

        def action() -> None:
            said = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 1)
            os.dup2(said, 2)
            if fault:
                fault.arm()
            try:
                prodgen_rec([str(word) for word in words])
            except SystemExit as stop:
                sys.stderr.flush()
                os._exit(int(stop.code or 0) or (GOT_OVER if fault and fault.left <= 0 else 0))

        return in_child(action)

    def said_in_one_sentence(self) -> bool:
        """Whether the error is one line at the end, and no traceback."""
        lines = self.said.read_text().rstrip("\n").split("\n")
        return lines[-1].startswith("error: ") and not any("Traceback" in line for line in lines)


def whole(delivery: Delivery) -> str:
    """Name of the run that a delivery is of; all of its rows must be of that run."""
    manifest, table = delivery.manifest, delivery.table()
    assert manifest.rows == len(table), "rows are missing"
    assert manifest.counts.n_out == pc.count_distinct(table["user_id"]).as_py(), "users are missing"
    assert table["seed"].unique().to_pylist() == [manifest.seed], "a mixture"
    return manifest.run_id


def look(place: Path, expected: dict[str, pa.Table]) -> None:
    """Readers see one of the nights, as it is in the unbroken place."""
    delivery = latest(place)
    assert delivery.table().equals(expected[whole(delivery)])
    assert verify(place).ok


def nights(*places: Path) -> dict[str, pa.Table]:
    """The published runs of some places."""
    found = [latest(place) for place in places]
    return {one.manifest.run_id: one.table() for one in found}


def break_at_steps(kind: str, folder: Path, bundle: str, events: str, at: int, stride: int) -> None:
    import prodgen_rec.cli.operating  # all that the children share
    import prodgen_rec.imagery.runtime
    import prodgen_rec.nightly.job  # noqa: F401

    job = Job(folder, bundle, events)
    start, unbroken, place = folder / "start", folder / "unbroken", folder / "place"
    assert job.code(start, NIGHTS[0]) == 0
    shutil.copytree(start, unbroken)
    assert job.code(unbroken, NIGHTS[1]) == 0

    def looked() -> None:
        look(place, nights(start, unbroken))

    n_broken, code = 0, -1
    while code:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(start, place)
        code = job.code(place, NIGHTS[1], Fault(place, kind, at))
        if kind == "kill":
            assert code in (0, -signal.SIGKILL), f"step {at}: exit code {code}"
        else:
            assert code in (0, GOT_OVER, FILES), f"step {at}: {code}, {job.said.read_text()}"
            assert code != FILES or job.said_in_one_sentence(), job.said.read_text()
        assert in_child(looked) == 0, f"step {at}"
        n_broken += code in (FILES, -signal.SIGKILL)
        assert job.code(place, NIGHTS[1]) == 0, f"step {at}: {job.said.read_text()}"
        assert tree(place) == tree(unbroken), f"step {at}: {set(tree(place)) ^ set(tree(unbroken))}"
        at += stride
    print(at - stride, n_broken)


def read(place: Path) -> None:
    """Read what is published, over and over, until a file ``stop`` appears."""
    states: dict[str, bool] = {}
    while not (place / "stop").exists():
        try:
            night = whole(latest(place))
        except DeliveryReplacedError:  # said, not mixed
            continue
        if not states:
            print("reading", flush=True)
        states[night] = True
    print(*states)


if __name__ == "__main__":
    if sys.argv[1] == "read":
        read(Path(sys.argv[2]))
    else:
        kind, folder, bundle, events, at, stride = sys.argv[2:]
        break_at_steps(kind, Path(folder), bundle, events, int(at), int(stride))
