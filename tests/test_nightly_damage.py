"""What is damaged, forged or too new is refused, and named."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from nightly_runs import USER, USERS, expected, point_at, seen, write

from prodgen_rec._version import __version__
from prodgen_rec.errors import (
    DeliveryCorruptError,
    DeliveryError,
    DeliveryReplacedError,
    DeliveryVersionError,
)
from prodgen_rec.nightly import Target, forget_user, latest, rollback, verify
from prodgen_rec.nightly.documents import Manifest, Published

FOLDER = "runs/2026-11-26"
PART = f"{FOLDER}/part-00001.parquet"
MANIFEST = f"{FOLDER}/manifest.json"


@pytest.fixture
def place(tmp_path) -> Path:
    """A target with two runs; the second is published."""
    for night in (25, 26):
        write(tmp_path, night)
    return tmp_path


def flip(file: Path, at: float = 0.5) -> None:
    content = bytearray(file.read_bytes())
    content[int(len(content) * at)] ^= 1
    file.write_bytes(content)


def rewrite(place: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest as somebody would who has read how all is sealed."""
    values = json.loads((place / MANIFEST).read_bytes())
    change(values)
    del values["seal"]
    text = json.dumps(values, sort_keys=True)
    values["seal"] = hashlib.sha256(text.encode()).hexdigest()
    (place / MANIFEST).write_text(json.dumps(values))
    point_at(place, MANIFEST)


def read(place: Path) -> pa.Table:
    return latest(place).table()


@pytest.mark.parametrize("at", [0.0, 0.2, 0.5, 0.8, 0.999])
@pytest.mark.parametrize("name", ["CURRENT", MANIFEST, PART])
def test_one_flipped_bit_is_found_wherever_it_is(place, name, at):
    flip(place / name, at)
    with pytest.raises(DeliveryError, match=Path(name).name) as refused:
        read(place)
    assert isinstance(refused.value, DeliveryCorruptError | DeliveryVersionError)
    report = verify(place)
    assert str(place / name) in [problem.file for problem in report.problems]
    rollback(place, to="2026-11-25")
    assert seen(latest(place)) == (25, True)
    if name != "CURRENT":
        with pytest.raises(DeliveryError, match="cannot be published again"):
            rollback(place, to="2026-11-26")
        assert seen(latest(place)) == (25, True)


@pytest.mark.parametrize("name", ["CURRENT", MANIFEST, PART])
@pytest.mark.parametrize("left", [0, 1, 0.5])
def test_a_truncated_file_is_found(place, name, left):
    content = (place / name).read_bytes()
    (place / name).write_bytes(content[: left if left in (0, 1) else len(content) // 2])
    with pytest.raises(DeliveryCorruptError, match=Path(name).name):
        read(place)
    assert not verify(place).ok


@pytest.mark.parametrize("name", [MANIFEST, PART])
def test_a_missing_file_is_found(place, name):
    (place / name).unlink()
    with pytest.raises(DeliveryCorruptError, match="is missing; restore it"):
        read(place)
    assert not verify(place).ok


def test_one_damaged_part_does_not_keep_the_others_from_being_read(place):
    flip(place / FOLDER / "part-00002.parquet")
    assert latest(place).of(USER)["rank"].to_pylist() == [1, 2]
    assert len(next(latest(place).tables())) == 8


@pytest.mark.parametrize(
    ("name", "model"), [("CURRENT", Published), (MANIFEST, Manifest)], ids=["pointer", "manifest"]
)
def test_a_newer_format_is_refused_with_the_version_that_reads_it(place, name, model):
    newer = {"format": 2, "library": "7.3", "something": "new"}
    (place / name).write_text(json.dumps(newer))
    if model is Manifest:
        point_at(place, name)
    text = (
        rf"{name}: delivery format 2 was written by prodgen-rec 7\.3; this is {__version__}, which "
        r"reads up to format 1; upgrade with: pip install 'prodgen-rec>=7\.3'"
    )
    with pytest.raises(DeliveryVersionError, match=text):
        read(place)
    assert any("7.3" in problem.what for problem in verify(place).problems)
    if model is Published:  # nothing is put over what a newer version wrote
        with pytest.raises(DeliveryVersionError, match=text):
            write(place, 27)


@pytest.mark.parametrize(
    "name",
    [
        "../2026-11-25/part-00001.parquet",
        "/etc/passwd",
        "part-00001.parquet\0",
        "part-00001.parquet/../x",
        "part-00001.pkl",
        "part-1.parquet",
        "part-00002.parquet",
    ],
)
def test_no_name_in_a_manifest_leads_out_of_its_folder(place, name):
    rewrite(place, lambda values: values["parts"][1].update(name=name))
    with pytest.raises(DeliveryCorruptError, match=r"manifest\.json: (parts\.1\.name|the file): "):
        read(place)
    assert not verify(place).ok


@pytest.mark.parametrize("run_id", ["../../x", "/etc", "", "a/b"])
def test_a_pointer_to_somewhere_else_is_refused(place, run_id):
    current = Published.model_validate_json((place / "CURRENT").read_bytes())
    (place / "CURRENT").write_text(current.model_copy(update={"run_id": run_id}).text())
    with pytest.raises(DeliveryCorruptError, match="CURRENT: run_id: String should match pattern"):
        latest(place)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda values: values["counts"].update(n_in=16), "16 users in, 12 out and 3 refused"),
        (lambda values: values["counts"].update(n_in=16, n_out=13), "13 users out, 12 in the p"),
        (lambda values: values["counts"].update(n_in=13, refused={"x": 1}), "parts refuse more"),
        (lambda values: values["parts"].pop(), "3 parts planned, 2 named"),
        (lambda values: values["parts"].reverse(), "part 0 is called part-00002.parquet"),
        (lambda values: values.update(run_id="2026-11-25"), "is the manifest of run 2026-11-25"),
        (lambda values: values.update(revision=3), "is the manifest of run 2026-11-26, revision 3"),
        (lambda values: values["parts"][0]["columns"].update(x="int64"), "has other columns than"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(place, change, complaint):
    rewrite(place, change)
    with pytest.raises(DeliveryCorruptError, match=complaint):
        latest(place)


def test_a_manifest_that_was_not_published_is_refused(place):
    """It is sealed and agrees with itself; the pointer names another."""
    current = (place / "CURRENT").read_bytes()
    rewrite(place, lambda values: values.update(seed=2))
    assert latest(place).manifest.seed == 2
    (place / "CURRENT").write_bytes(current)
    with pytest.raises(
        DeliveryCorruptError, match=r"manifest\.json does not match its SHA-256 in C"
    ):
        latest(place)
    assert not verify(place).ok


def test_a_manifest_that_contradicts_its_parts_is_found_by_verify(place):
    def change(values: dict[str, Any]) -> None:
        values["parts"][1]["rows"] = 7
        values["parts"][2]["counts"].update(n_in=4, n_out=3)
        values["counts"].update(n_in=14, n_out=11)

    rewrite(place, change)
    found = [(Path(problem.file).name, problem.what[:20]) for problem in verify(place).problems]
    assert found == [
        ("part-00001.parquet", "has (rows, users) (8"),
        ("part-00002.parquet", "has (rows, users) (8"),
    ]


def test_users_in_another_part_than_theirs_are_found_by_verify(place):
    """Two parts change places, and whoever did it has put everything else right."""
    files = [place / FOLDER / f"part-0000{index}.parquet" for index in (1, 2)]
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, reversed(contents), strict=True):
        file.write_bytes(content)

    def change(values: dict[str, Any]) -> None:
        first, second = values["parts"][1:]
        for key in ("sha256", "n_bytes"):
            first[key], second[key] = second[key], first[key]

    rewrite(place, change)
    assert len(read(place)) == 24
    assert [(Path(problem.file).name, problem.what) for problem in verify(place).problems] == [
        (
            f"part-0000{there}.parquet",
            f"user '{USERS[part][0]}' belongs into part {part} of 3, not into part {there}",
        )
        for there, part in ((1, 2), (2, 1))
    ]


def test_page_checksums_are_the_second_net(place):
    """Somebody flips a bit in a picture and puts the new hash everywhere."""
    picture = expected(26)["image"][8].as_py()
    content = bytearray((place / PART).read_bytes())
    content[content.index(picture) + 7] ^= 1
    (place / PART).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    rewrite(place, lambda values: values["parts"][1].update(sha256=digest))
    with pytest.raises(DeliveryCorruptError, match=r"part-00001\.parquet cannot be read .*CRC"):
        read(place)
    assert [Path(problem.file).name for problem in verify(place).problems] == ["part-00001.parquet"]


def test_nothing_is_ever_unpickled(place):
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (place / "mark",)

    content = pickle.dumps(Trap())
    (place / PART).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    rewrite(place, lambda v: v["parts"][1].update(sha256=digest, n_bytes=len(content)))
    with pytest.raises(DeliveryCorruptError, match=r"part-00001\.parquet cannot be read"):
        read(place)
    assert not (place / "mark").exists()


def test_a_stray_file_is_found_and_one_that_is_not_ours_stays(place):
    for name in ("part-00009.parquet", "thesis.txt"):
        (place / FOLDER / name).write_text("years of work")
    strays = [str(place / FOLDER / name) for name in ("part-00009.parquet", "thesis.txt")]
    assert list(verify(place).unnamed) == strays
    assert verify(place, run="2026-11-25").unnamed == ()
    rollback(place, to="2026-11-26")
    assert list(verify(place, run="2026-11-26").unnamed) == strays[1:]
    write(place, 27, keep=1)
    assert [file.name for file in (place / FOLDER).iterdir()] == ["thesis.txt"]


def test_a_damaged_pointer_is_put_right_by_the_next_night(place):
    flip(place / "CURRENT")
    write(place, 27)
    assert seen(latest(place)) == (27, True)
    assert verify(place).ok


def test_a_damaged_run_is_not_taken_for_done(place):
    flip(place / PART)
    with pytest.raises(DeliveryCorruptError, match=r"part-00001\.parquet: its content does not"):
        write(place, 26)


def test_forgetting_says_which_damaged_parts_it_could_not_search(place):
    flip(place / PART)
    text = r"removed from \['2026-11-25'\], but these cannot be searched; .*26/part-00001.parquet"
    with pytest.raises(DeliveryCorruptError, match=text):
        forget_user(place, USER)
    assert USER.encode() not in b"".join(
        file.read_bytes() for file in (place / "runs/2026-11-25").iterdir()
    )
    (place / PART).unlink()
    (place / MANIFEST).unlink()
    rollback(place, to="2026-11-25")
    assert forget_user(place, USER).rows == {}
    assert Target(place).runs()[0].revision == 1


def test_a_part_that_went_with_its_manifest_was_replaced_and_is_not_damage(place):
    delivery = latest(place)
    (place / MANIFEST).unlink()
    (place / PART).unlink()
    with pytest.raises(DeliveryReplacedError, match="call latest"):
        delivery.table()
