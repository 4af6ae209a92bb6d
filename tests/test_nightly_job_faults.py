"""Nights that are killed, interrupted, run into each other or run out of room; readers meanwhile.

Which test injects which fault of the nightly job:

================================================  ==========================================
kill -9 and failing disks at every step           here (the job), test_nightly_faults (its files)
resume, same date twice, two at once, stale lock  here, test_nightly
readers during a publication                      here, test_nightly_faults
full disks, SIGTERM, Ctrl-C                       here, test_nightly_faults, test_cli_errors
damaged logs, rows, ids and bundles               test_nightly_job_inputs, test_event_errors,
                                                  test_event_values, test_bundle
all users cold, nobody due, the quality gate      test_nightly_job_inputs, test_nightly_job
damaged parts, rollback, retention, forgetting    here, test_nightly, test_nightly_damage
cells that spreadsheets take for formulas         test_cli_errors
``<script>`` in titles and ids                    test_display, test_cli
================================================  ==========================================
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import (
    FILES,
    INTERRUPTED,
    REFUSED,
    SECONDS,
    assert_refused,
    command,
    done,
    environment,
    run,
)  # fmt: skip
from nightly_jobs import BEFORE, DELIVERY, LOCKED, NIGHT, Nights

from prodgen_rec.nightly import latest, verify

TESTS = Path(__file__).parent
USER = "user-00003"


@pytest.fixture(scope="module")
def published(bundle, small_shop, tmp_path_factory) -> Path:
    """A place where the night before is published; not to be changed."""
    nights = Nights(tmp_path_factory.mktemp("before"), None, bundle, small_shop.events)
    nights.made(night=BEFORE)
    return nights.place


@pytest.fixture(scope="module")
def unbroken(published, bundle, small_shop, tmp_path_factory) -> dict[str, bytes]:
    """Every file after a night without a fault."""
    nights = Nights(tmp_path_factory.mktemp("after"), published, bundle, small_shop.events)
    nights.made()
    return nights.tree()


@pytest.fixture
def nights(published, bundle, small_shop, quick_folder) -> Nights:
    return Nights(quick_folder, published, bundle, small_shop.events)


# Every step ----------------------------------------------------------------------------


def broken_at_steps(kind: str, first: int, stride: int, *files: Path) -> tuple[int, int]:
    """How many steps a night has, and at how many of those that were tried it broke."""
    script = TESTS / "nightly_job_faults.py"
    words = [sys.executable, script, "break", kind, *files, first, stride]
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    ended = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
        timeout=3600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    n_steps, n_broken = map(int, ended.stdout.split())
    return n_steps, n_broken


def test_a_night_that_is_killed_at_some_steps_ends_the_same(bundle, small_shop, quick_folder):
    n_steps, n_broken = broken_at_steps("kill", 9, 25, quick_folder, bundle, small_shop.events)
    assert n_steps >= 50
    assert n_broken >= 2


@pytest.mark.long
@pytest.mark.parametrize("kind", ["kill", "errors"])
def test_a_night_that_breaks_at_any_step_ends_the_same(kind, bundle, small_shop, quick_folder):
    n_steps, n_broken = broken_at_steps(kind, 1, 1, quick_folder, bundle, small_shop.events)
    assert n_steps >= 50
    assert n_broken >= 0.8 * (n_steps - 1)


# Processes -----------------------------------------------------------------------------


class Process:
    """A night in a process of its own, that says what it does to a file."""

    def __init__(self, nights: Nights, *words: object) -> None:
        self._place, self._said = nights.place, nights.place.with_name("said.txt")
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                command(*nights.words(*words)), stdout=said, stderr=said, env=environment()
            )

    def waits_for(self, n_parts: int) -> None:
        """Wait until so many parts are finished."""
        end = time.monotonic() + SECONDS
        while len(list(self._place.glob(f"runs/{NIGHT}/part-*.json"))) < n_parts:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end
            time.sleep(0.01)

    def ends(self, number: signal.Signals) -> int:
        """Exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def said(self) -> str:
        return self._said.read_text()


SLOWLY = ("--n-pictures", 6)
"""So much work that a signal comes in the middle of it."""


@pytest.fixture(scope="module")
def unbroken_slowly(published, bundle, small_shop, tmp_path_factory) -> dict[str, bytes]:
    nights = Nights(tmp_path_factory.mktemp("slowly"), published, bundle, small_shop.events)
    nights.made(*SLOWLY)
    return nights.tree()


def test_two_nights_at_once_and_the_lock_of_a_killed_one(nights, unbroken_slowly, caplog):
    first = Process(nights, *SLOWLY)
    first.waits_for(1)
    first.process.send_signal(signal.SIGSTOP)
    who = f"is being written by process {first.process.pid} on "
    nights.refused(LOCKED, who, *SLOWLY)
    assert_refused(run("delivery", "rollback", nights.place), LOCKED, who)
    assert_refused(run("delivery", "forget-user", nights.place, "--user", USER), LOCKED, who)
    assert first.ends(signal.SIGKILL) == -signal.SIGKILL
    assert nights.published == BEFORE

    second = nights.made(*SLOWLY)
    assert 0 < second["parts_made"] < second["parts"]
    assert f"recovered the lock of a dead process {first.process.pid} on " in caplog.text
    assert nights.tree() == unbroken_slowly
    assert nights.made(*SLOWLY)["parts_made"] == 0
    assert nights.tree() == unbroken_slowly


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_a_night_that_is_interrupted_stops_within_a_part_and_goes_on(
    nights, unbroken_slowly, number
):
    first = Process(nights, *SLOWLY)
    first.waits_for(1)
    start = time.monotonic()
    assert first.ends(number) == INTERRUPTED, first.said()
    assert time.monotonic() - start < 10
    said = first.said()
    assert "Traceback" not in said
    assert said.rstrip().split("\n")[-1].startswith("error: interrupted; no file was left half-")
    assert said.count("interrupted") == 1
    assert nights.published == BEFORE
    assert verify(nights.place).ok
    second = nights.made(*SLOWLY)
    assert 0 < second["parts_made"] < second["parts"]
    assert nights.tree() == unbroken_slowly


@pytest.mark.long
@pytest.mark.parametrize("seconds", [1, 3, 6, 8, 9, 10, 11])
def test_a_command_that_is_killed_at_any_time_ends_the_same(nights, unbroken, seconds):
    first = Process(nights)
    time.sleep(seconds)
    first.ends(signal.SIGKILL)
    assert nights.published in (BEFORE, NIGHT)
    assert verify(nights.place).ok
    nights.made()
    assert nights.tree() == unbroken


def test_a_reader_never_sees_a_mixture(nights):
    script = TESTS / "nightly_job_faults.py"
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    reader = subprocess.Popen(
        [sys.executable, str(script), "read", str(nights.place)],
        env=os.environ | {"PYTHONPATH": paths},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "reading\n"
    for seed in (1, 2):
        nights.made("--seed", seed, "--run-id", f"seed-{seed}", "--keep", 1)
    done("delivery", "forget-user", nights.place, "--user", USER)
    (nights.place / "stop").touch()
    output, errors = reader.communicate(timeout=SECONDS)
    assert reader.returncode == 0, errors[-3000:]
    assert output.split() == [BEFORE, "seed-1", "seed-2"]


# Disks ---------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        ended = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if ended.returncode:
        pytest.skip(f"no file system can be mounted here: {ended.stderr.strip()}")
    yield folder
    # Lazily: an exception that was caught may still hold a file open.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, n_free: int) -> Path:
    """A file that leaves so many pages of a disk."""
    filler = disk / "filler"
    state = os.statvfs(disk)
    filler.write_bytes(bytes(state.f_bsize * (state.f_bavail - n_free)))
    return filler


def test_a_full_disk_for_the_log_by_users(nights, small_disk, monkeypatch):
    monkeypatch.setenv("PRODGEN_REC_NIGHTLY_SCRATCH", str(small_disk))
    before = nights.tree()
    for n_free in (0, 1, 8, 40):
        filler = fill(small_disk, n_free)
        text = f"{small_disk}: No space left on device; the log is kept there by users until"
        nights.refused(FILES, text)
        assert nights.tree() == before
        filler.unlink()
        assert not list(small_disk.iterdir())
    assert nights.made()["parts_made"] == 10
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.long), 40])
def test_a_full_disk_at_any_stage(published, unbroken, bundle, small_shop, small_disk, stride):
    n_free, room = 1, 0
    text = "No space left on device; the file was not written, what is published is intact"
    while not room:
        nights = Nights(small_disk, published, bundle, small_shop.events)
        filler = fill(small_disk, n_free)
        outcome = run(*nights.words("--quiet"))
        if outcome.code == 0:
            room = n_free
        else:
            assert_refused(outcome, FILES, text)
            assert nights.published == BEFORE
            assert verify(nights.place).ok
        filler.unlink()
        nights.made()
        assert nights.tree() == unbroken
        shutil.rmtree(nights.place)
        n_free += stride
    assert room > 40


# What was published --------------------------------------------------------------------


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_damaged_part_is_found_and_the_way_back_is_open(nights):
    nights.made()
    part = nights.place / "runs" / NIGHT / "part-00002.parquet"
    flip(part)
    text = "does not match its recorded SHA-256"
    assert_refused(run(*nights.words("--quiet")), DELIVERY, text)
    assert_refused(run("delivery", "verify", nights.place), DELIVERY, f"{part}: ")
    done("delivery", "rollback", nights.place)
    assert nights.published == BEFORE
    assert_refused(run("delivery", "rollback", nights.place, "--to", NIGHT), DELIVERY, text)
    assert nights.published == BEFORE
    assert_refused(run(*nights.words("--quiet")), DELIVERY, "a rollback turned away from this run")
    assert nights.made("--run-id", "again")["parts_made"] == 10


def test_a_part_that_is_damaged_before_the_night_goes_on_is_made_again(nights, unbroken):
    from prodgen_rec.nightly.writing import Run

    with pytest.MonkeyPatch.context() as patch:
        # Sent to this thread: another one that received it would let this one go on for a moment.
        patch.setattr(Run, "publish", lambda *_, **named: signal.raise_signal(signal.SIGINT))
        assert run(*nights.words("--quiet")).code == INTERRUPTED
    flip(nights.place / "runs" / NIGHT / "part-00002.parquet")
    (nights.place / "runs" / NIGHT / "part-00004.json").unlink()
    assert nights.made()["parts_made"] == 2
    assert nights.tree() == unbroken


def test_runs_are_kept_rolled_back_and_forget_a_user(nights):
    for seed in (1, 2, 3):
        nights.made("--seed", seed, "--run-id", f"seed-{seed}", "--keep", 3)
    shown = done("delivery", "show", nights.place, "--json").json
    assert shown["published"] == "seed-3"
    assert [one["run_id"] for one in shown["runs"]] == ["seed-1", "seed-2", "seed-3"]
    assert done("delivery", "rollback", nights.place, "--json").json["run_id"] == "seed-2"
    gone = done("delivery", "forget-user", nights.place, "--user", USER, "--json").json
    assert gone["rows"] == {f"seed-{seed}": 2 for seed in (1, 2, 3)}
    assert gone["parts_read"] == 30
    done("delivery", "verify", nights.place)
    assert nights.published == "seed-2"
    assert len(latest(nights.place).of(USER)) == 0
    for one in done("delivery", "show", nights.place, "--json").json["runs"]:
        assert one["refused"] == {"forgotten": 1}
        assert one["users_in"] == one["users_out"] + 1
    assert_refused(run("delivery", "rollback", nights.place, "--to", "x"), DELIVERY, "no complete")


@pytest.mark.parametrize("command", ["verify", "rollback", "forget-user", "show"])
def test_a_place_with_a_slip_in_its_name_is_refused_and_not_made(tmp_path, command):
    words = ["--user", USER] if command == "forget-user" else []
    outcome = run("delivery", command, tmp_path / "piktures", *words)
    assert_refused(outcome, DELIVERY, f"{tmp_path / 'piktures'}")
    assert not any(tmp_path.iterdir())


def test_an_id_that_is_no_utf8_is_refused(published):
    outcome = run("delivery", "forget-user", published, "--user", os.fsdecode(b"a\xff"))
    assert_refused(outcome, REFUSED, "user id: 'a\\udcff' is no text that UTF-8 can hold")
