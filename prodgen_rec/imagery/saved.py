"""Image models as files: settings as JSON, weights as plain arrays.

Reading them needs no TensorFlow; `ConditionalVAE.restore` builds the networks from what was
read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from prodgen_rec.errors import BundleCorruptError
from prodgen_rec.storage import load_arrays, save_arrays

_ABOUT, _ARRAYS = "image_model.json", "image_model.npz"


class ImageModelAbout(BaseModel):
    """What is saved beside the weights.

    Attributes
    ----------
    kind
        Name of the model's class.
    config, seed
        Settings and seed of the model.
    vector_size
        Dimension d of the preference vectors.
    n_steps
        Steps that each phase was trained.
    attributes
        Attributes that pictures can be asked to have, and the values of each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    config: dict[str, Any]
    seed: int
    vector_size: int
    n_steps: dict[str, int]
    attributes: dict[str, tuple[str, ...]] = {}


@dataclass(frozen=True, eq=False)
class SavedImageModel:
    """An image model as its files hold it.

    Attributes
    ----------
    about
        Settings.
    arrays
        Weights and scales by name, of any shape.
    """

    about: ImageModelAbout
    arrays: Mapping[str, npt.NDArray[Any]]

    def save(self, folder: Path) -> None:
        """Write ``image_model.json`` and ``image_model.npz`` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        text = self.about.model_dump_json(indent=1) + "\n"
        (folder / _ABOUT).write_text(text, encoding="utf-8")
        save_arrays(folder / _ARRAYS, self.arrays)

    @classmethod
    def read(cls, folder: Path) -> SavedImageModel:
        """Read what `save` wrote.

        Raises
        ------
        BundleCorruptError
            A file is missing or damaged.
        """
        path = folder / _ABOUT
        try:
            about = ImageModelAbout.model_validate_json(path.read_bytes())
        except OSError as error:
            raise BundleCorruptError(f"{path}: not readable as settings: {error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise BundleCorruptError(
                f"{path}: not readable as settings: {place}: {first['msg']}; restore the bundle "
                "from a copy or fit again"
            ) from error
        return cls(about, load_arrays(folder / _ARRAYS))
