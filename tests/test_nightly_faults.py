"""Killed processes, failing disks, full disks, and readers who look all the while."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nightly_runs import USER, seen, tree, write

from prodgen_rec.errors import LockHeldError
from prodgen_rec.nightly import forget_user, latest, rollback, verify

TESTS = Path(__file__).parent


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(TESTS / script), *map(str, arguments)]
    paths = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(command, env=environment, text=True, stdout=-1, stderr=-1)


@pytest.mark.parametrize(
    ("action", "fault", "n_least"),
    [
        ("first run", "kill", 50),
        ("next run", "kill", 60),
        ("forget", "kill", 40),
        ("rollback", "kill", 10),
        ("next run", "errors", 80),
        ("forget", "errors", 60),
    ],
)
def test_an_action_that_breaks_at_any_step_goes_on_to_the_same_bytes(
    quick_folder, action, fault, n_least
):
    process = start("nightly_faults.py", action, fault, quick_folder)
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors[-3000:]
    n_steps, n_broken = map(int, output.split())
    assert n_steps >= n_least
    assert n_broken >= 0.8 * n_steps


def test_a_reader_never_sees_a_mixture(tmp_path):
    write(tmp_path, 25)
    reader = start("nightly_reader.py", tmp_path)
    assert reader.stdout is not None
    reader.stdout.readline()  # it has begun
    for night in (26, 27, 28):
        write(tmp_path, night, keep=2)
        forget_user(tmp_path, USER)
        rollback(tmp_path)
        rollback(tmp_path, to=f"2026-11-{night}")
    (tmp_path / "stop").touch()
    output, errors = reader.communicate(timeout=60)
    assert reader.returncode == 0, errors[-3000:]
    states = output.split("\n")[-2]
    assert {f"{night} {holds}" for night in (26, 27) for holds in (True, False)} <= set(
        states.split(", ")
    ), states


def test_a_second_process_names_the_first_and_recovers_its_lock_when_it_is_killed(tmp_path, caplog):
    write(tmp_path, 25)
    holder = start("nightly_holder.py", tmp_path)
    assert holder.stdout is not None
    holder.stdout.readline()  # it holds the lock
    with pytest.raises(LockHeldError, match=rf"written by process {holder.pid} on \S+, since 20"):
        write(tmp_path, 26)
    holder.kill()
    holder.communicate()
    write(tmp_path, 26)
    assert f"recovered the lock of a dead process {holder.pid}" in caplog.text
    assert seen(latest(tmp_path)) == (26, True)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_at_any_stage(small_disk, tmp_path):
    for night in (25, 26):
        write(tmp_path / "unbroken", night)
    page = os.statvfs(small_disk).f_bsize
    place, filler = small_disk / "place", small_disk / "filler"
    n_free = 0
    while n_free < 100:
        shutil.rmtree(place, ignore_errors=True)
        write(place, 25)
        filler.write_bytes(bytes(page * (os.statvfs(small_disk).f_bavail - n_free)))
        error = error_of(lambda: write(place, 26))
        if error is None:
            break
        assert error.errno == errno.ENOSPC
        assert "see to the disk, and run again to go on from here" in str(error)
        assert seen(latest(place)) == (25, True)
        assert verify(place).ok
        filler.unlink()
        write(place, 26)
        assert tree(place) == tree(tmp_path / "unbroken")
        n_free += 1
    assert tree(place) == tree(tmp_path / "unbroken")
    assert 8 <= n_free < 100  # plan, three parts, their records, manifest


def error_of(action: Callable[[], object]) -> OSError | None:
    try:
        action()
    except OSError as error:
        return error
    return None
