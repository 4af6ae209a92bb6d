"""Recommenders as files: JSON for hyper-parameters, Parquet for ids, arrays for the rest."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from prodgen_rec import columns
from prodgen_rec.errors import BundleCorruptError, BundleError, BundleVersionError, ConfigError
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.storage import atomic_folder, load_arrays, save_arrays

if TYPE_CHECKING:
    from prodgen_rec.preferences.base import Recommender

    AnyRecommender = TypeVar("AnyRecommender", bound=Recommender)

FORMAT = 1
"""Goes up when older versions of the library can no longer read the folder."""

_ABOUT = "recommender.json"
_USERS = "users.parquet"
_ITEMS = "items.parquet"
_ARRAYS = "arrays.npz"


def save_state(recommender: Recommender, folder: Path | str) -> None:
    """Write a fitted recommender to a folder, whole or not at all."""
    about = {
        "format": FORMAT,
        "class": type(recommender).__name__,
        "parameters": dataclasses.asdict(recommender),  # type: ignore[call-overload]
    }
    matrix = recommender.interactions_.matrix
    with atomic_folder(folder) as part:
        text = json.dumps(about, indent=2, default=np.generic.item)  # numpy integers are no ints
        (part / _ABOUT).write_text(text + "\n", encoding="utf-8")
        _write_ids(part / _USERS, columns.USER_ID, recommender.users_)
        _write_ids(part / _ITEMS, columns.ITEM_ID, recommender.items_)
        save_arrays(
            part / _ARRAYS,
            {
                **recommender._arrays(),
                "evidence": matrix.data,
                "item_index": matrix.indices,
                "user_start": matrix.indptr,
            },
        )


def load_state(kind: type[AnyRecommender], folder: Path | str) -> AnyRecommender:
    """Read a recommender of the given kind, or of any subclass of it.

    Raises
    ------
    BundleCorruptError
        A part is missing, damaged, does not fit the others, or holds numbers that are not finite.
    BundleVersionError
        A newer version of the library wrote it.
    BundleError
        It is of another kind, or of a class that has not been imported.
    """
    folder = Path(folder)
    about = _read_about(folder / _ABOUT)
    recommender = _new(kind, about, folder)
    users = _read_ids(folder / _USERS, columns.USER_ID)
    items = _read_ids(folder / _ITEMS, columns.ITEM_ID)
    arrays = load_arrays(folder / _ARRAYS)
    _check_finite(arrays, folder / _ARRAYS)
    try:
        matrix = csr_array(
            (arrays["evidence"], arrays["item_index"], arrays["user_start"]),
            shape=(len(users), len(items)),
        )
        recommender.interactions_ = Interactions(users, items, matrix)
        recommender._set_arrays(arrays)
    except (KeyError, ValueError) as error:
        raise BundleCorruptError(f"{folder}: the parts do not fit together ({error})") from error
    return recommender


def _check_finite(arrays: dict[str, npt.NDArray[Any]], path: Path) -> None:
    for name, values in arrays.items():
        finite = np.isfinite(values)
        if not finite.all():
            place = np.unravel_index(int(np.argmin(finite)), values.shape)
            raise BundleCorruptError(
                f"{path}: {int((~finite).sum())} of {values.size} {name} are not finite, the first "
                f"at {tuple(map(int, place))}; fit and save again"
            )


def _new(kind: type[AnyRecommender], about: dict[str, Any], folder: Path) -> AnyRecommender:
    """Unfitted recommender of the class that was saved.

    Classes are looked up by name among those already imported: a file never decides what
    is imported.
    """
    classes = _concrete(kind)
    if about["class"] not in classes:
        raise BundleError(
            f"{folder} holds the recommender {about['class']!r}; expected one of "
            f"{sorted(classes)}; load it with its own class, imported before"
        )
    try:
        return classes[about["class"]](**about["parameters"])
    except (TypeError, ConfigError) as error:
        raise BundleCorruptError(f"{folder / _ABOUT}: wrong parameters ({error})") from error


def _concrete(kind: type[AnyRecommender]) -> dict[str, type[AnyRecommender]]:
    classes = {} if kind.__abstractmethods__ else {kind.__name__: kind}
    for subclass in kind.__subclasses__():
        classes.update(_concrete(subclass))
    return classes


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if about["format"] > FORMAT:
            raise BundleVersionError(
                f"{path}: format {about['format']} is newer than {FORMAT}, the newest that this "
                "version reads; upgrade prodgen-rec"
            )
        return {name: about[name] for name in ("class", "parameters")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleCorruptError(f"{path}: not a saved recommender ({error!r})") from error


def _write_ids(path: Path, column: str, ids: IdMap) -> None:
    pq.write_table(pa.table({column: ids.arrow}), path, write_page_checksum=True)


def _read_ids(path: Path, column: str) -> IdMap:
    try:
        table = pq.read_table(path, columns=[column], page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise BundleCorruptError(f"{path}: not a readable Parquet file ({error})") from error
    return IdMap(table[column].combine_chunks())
