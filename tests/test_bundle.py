"""Bundles: verified before they are read, replaced whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bundles import parts_of, rewrite

from prodgen_rec import ALS, Personalizer
from prodgen_rec._version import __version__
from prodgen_rec.bundle import ABOUT, FORMAT, verified_bundle, write_bundle
from prodgen_rec.errors import BundleCorruptError, BundleError, BundleVersionError
from prodgen_rec.storage import load_arrays, sha256

PARTS = [
    "catalog/items.parquet",
    "catalog/photo_index.npy",
    "catalog/photos.npy",
    "catalog/report.json",
    "imagery/image_model.json",
    "imagery/image_model.npz",
    "imagery/item_latents.npz",
    "preferences/arrays.npz",
    "preferences/items.parquet",
    "preferences/recommender.json",
    "preferences/users.parquet",
]
USERS = ["user-00003", "user-00001"]


@pytest.fixture
def copy(bundle, tmp_path) -> Path:
    """A copy of the bundle that may be damaged."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


# What a bundle holds


def test_the_bundle_names_all_of_its_parts(bundle, fitted):
    about = json.loads((bundle / ABOUT).read_text())
    assert sorted(about["parts"]) == PARTS == sorted(parts_of(bundle).keys() - {ABOUT})
    assert about["parts"]["catalog/photos.npy"] == sha256(bundle / "catalog/photos.npy")
    assert about["format"] == FORMAT
    assert about["library"] == __version__
    assert about["versions"]["numpy"] == np.__version__
    content = about["content"]
    assert content["config"] == fitted.config.model_dump(mode="json")
    assert content["seed"] == 0
    assert (content["data"]["n_users"], content["data"]["n_photos"]) == (200, 238)
    assert content["training"]["prior"]["step"] == 560
    assert 0 < content["training"]["autoencoder"]["l1"] < 0.25


def test_saving_what_was_loaded_writes_the_same_bytes(bundle, tmp_path):
    Personalizer.load(bundle).save(tmp_path / "again")
    assert parts_of(tmp_path / "again") == parts_of(bundle)


def test_a_bundle_can_be_saved_over_itself(copy):
    before = parts_of(copy)
    loaded = Personalizer.load(copy)
    loaded.save(copy)
    loaded.save(copy)
    assert parts_of(copy) == before
    assert [file.name for file in copy.parent.iterdir()] == [copy.name]


def test_what_was_loaded_outlives_its_bundle(copy, fitted):
    loaded = Personalizer.load(copy)
    shutil.rmtree(copy)
    expected = fitted.imagine(USERS, 2)
    made = loaded.imagine(USERS, 2)
    assert np.array_equal(made.images, expected.images)
    pd.testing.assert_frame_equal(made.table, expected.table)
    photos = [one.catalog_.photos_of(["SKU-00004"]) for one in (loaded, fitted)]
    assert np.array_equal(*photos)


# What is refused


@pytest.mark.parametrize("name", PARTS)
def test_one_flipped_byte_is_found(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    text = f"part {name} is damaged, its content does not match its recorded SHA-256; restore it"
    with pytest.raises(BundleCorruptError, match=text):
        Personalizer.load(copy)


@pytest.mark.parametrize("name", PARTS)
def test_a_missing_part_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleCorruptError, match=f"part {name} is missing; restore it or fit"):
        Personalizer.load(copy)


def test_a_file_that_is_not_named_is_refused(copy):
    (copy / "imagery" / "more.pkl").write_bytes(pickle.dumps("more"))
    text = r"imagery/more\.pkl is not named in bundle\.json; remove it or fit again"
    with pytest.raises(BundleCorruptError, match=text):
        Personalizer.load(copy)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"seed": 0', b'"seed": 1'),
        (b'"guidance": 2.0', b'"guidance": 3.0'),
        (b'"library": "', b'"library": "1'),
        (b'"step": 560.0', b'"step": 561.0'),
        (b'"catalog/items.parquet"', b'"catalog/items.parquer"'),
    ],
)
def test_a_changed_description_is_found(copy, before, after):
    text = (copy / ABOUT).read_bytes()
    assert text.count(before) == 1
    (copy / ABOUT).write_bytes(text.replace(before, after))
    with pytest.raises(BundleCorruptError, match=r"bundle\.json is damaged, .* match its seal"):
        Personalizer.load(copy)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: text[: len(text) // 2], "the file: Invalid JSON"),
        (lambda text: b"", "the file: Invalid JSON"),
        (lambda text: b"{}", "format: Field required"),
        (lambda text: text.replace(b'"parts"', b'"part"'), "parts: Field required"),
    ],
)
def test_an_unreadable_description_is_refused(copy, damage, complaint):
    (copy / ABOUT).write_bytes(damage((copy / ABOUT).read_bytes()))
    with pytest.raises(BundleCorruptError, match=rf"bundle\.json: {complaint}.*restore the bundle"):
        Personalizer.load(copy)


def test_a_newer_format_is_refused_with_the_version_that_reads_it(copy):
    newer = {"format": FORMAT + 1, "library": "7.3", "something": "new"}
    (copy / ABOUT).write_text(json.dumps(newer))
    text = (
        rf"bundle format 2 was written by prodgen-rec 7\.3; this is {__version__}, which reads up "
        r"to format 1; upgrade with: pip install 'prodgen-rec>=7\.3'"
    )
    with pytest.raises(BundleVersionError, match=text):
        Personalizer.load(copy)


@pytest.mark.parametrize("place", ["nowhere", "folder", "file"])
def test_what_is_no_bundle_is_refused(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text")
    with pytest.raises(BundleError, match=f"{place} is no bundle: it holds no bundle.json; a bun"):
        Personalizer.load(tmp_path / place)


def test_preferences_of_another_fit_are_refused(copy, fitted):
    other = ALS(**fitted.config.preferences.model_dump(), seed=1)
    other.fit(fitted.recommender_.interactions_).save(copy / "preferences")
    rewrite(copy)
    with pytest.raises(BundleCorruptError, match="trained on other item vectors than those in pre"):
        Personalizer.load(copy)


def test_latents_of_another_catalogue_are_refused(copy):
    path = copy / "imagery" / "item_latents.npz"
    np.savez(path, latents=load_arrays(path)["latents"][1:])
    rewrite(copy)
    text = r"latents of shape \(237, 64\) for 238 items with a photo"
    with pytest.raises(BundleCorruptError, match=text):
        Personalizer.load(copy)


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", [name for name in PARTS if name.endswith(("npy", "npz"))])
@pytest.mark.parametrize("kind", ["object array", "pickle"])
def test_nothing_is_ever_unpickled(copy, tmp_path, name, kind):
    trap = Trap(tmp_path / "mark")
    objects = np.array([trap], dtype=object)
    if kind == "pickle":
        (copy / name).write_bytes(pickle.dumps(trap))
    elif name.endswith("npy"):
        np.save(copy / name, objects, allow_pickle=True)
    else:
        arrays = load_arrays(copy / name)
        np.savez(copy / name, allow_pickle=True, **arrays | {next(iter(arrays)): objects})
    rewrite(copy)
    with pytest.raises(BundleCorruptError, match=name.split("/")[0]):
        Personalizer.load(copy)
    assert not trap.mark.exists()


# Writing over a bundle that is in use


def test_what_is_no_bundle_is_not_overwritten(bundle, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    loaded = Personalizer.load(bundle)
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(BundleError, match="exists and is no bundle; choose another place or"):
            loaded.save(place)
    assert parts_of(tmp_path) == {"thesis.txt": b"years of work"}
    (tmp_path / "empty").mkdir()
    loaded.save(tmp_path / "empty")
    assert parts_of(tmp_path / "empty") == parts_of(bundle)


@contextmanager
def files_up_to(n_bytes: int) -> Iterator[None]:
    """No file can grow beyond a size, which is how a full disk looks to a program."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [1000, 10_000, 500_000, 1_000_000])
def test_a_full_disk_leaves_the_bundle_that_stood_there(copy, bundle, room):
    text = (
        "File too large; the bundle was not written, what stood there is intact: make room or "
        f"choose another place, and save again: '{copy}'"
    )
    loaded = Personalizer.load(copy)
    with files_up_to(room), pytest.raises(OSError, match=text):
        loaded.save(copy)
    assert parts_of(copy) == parts_of(bundle)
    assert [file.name for file in copy.parent.iterdir()] == [copy.name]


def test_a_writer_killed_between_its_two_renames_loses_nothing(copy, bundle):
    os.replace(copy, copy.with_name(".bundle.previous"))
    loaded = Personalizer.load(copy)
    assert loaded.recommend(USERS, 3)["user_id"].nunique() == 2
    loaded.save(copy)
    assert parts_of(copy) == parts_of(bundle)
    assert [file.name for file in copy.parent.iterdir()] == [copy.name]


def test_a_bundle_that_is_replaced_while_it_is_read_is_not_mixed_with_the_new_one(tmp_path):
    def save(value: str) -> None:
        write_bundle(
            tmp_path / "b", {"value": value}, lambda folder: (folder / "part").write_text(value)
        )

    save("old")
    with verified_bundle(tmp_path / "b") as (folder, content):
        assert (folder / "part").read_text() == content["value"] == "old"
    text = "was replaced while it was being read; load it again"
    with pytest.raises(BundleError, match=text), verified_bundle(tmp_path / "b"):
        save("new")
    with pytest.raises(BundleError, match=text), verified_bundle(tmp_path / "b"):
        vanish_and_fail(tmp_path / "b")


def vanish_and_fail(folder: Path) -> None:
    shutil.rmtree(folder)
    (folder / "part").read_text()
