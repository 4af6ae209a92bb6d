"""What a personalizer gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.columns import USER_ID
from prodgen_rec.ids import IdArray


class UserVectors(NamedTuple):
    """Preference vectors of users.

    Attributes
    ----------
    user_ids
        Raw ids, shape (n,).
    vectors
        float32, shape (n, d); a zero row where the history says nothing.
    """

    user_ids: IdArray
    vectors: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Imagined:
    """Pictures made for users.

    Attributes
    ----------
    table
        A row per picture: ``user_id``, ``rank`` (int32 from 1, by score), ``item_id`` (the real
        item nearest to the picture), ``score`` (float32, the user's preference for that item, 0
        for one that the fitted log does not hold), ``similarity`` (float32, cosine between the
        picture and the item in latent space).
    images
        uint8 RGB, shape (len(table), size, size, 3), in the order of ``table``.
    n_rejected
        Near-copies of a photo that were drawn, thrown away and drawn again.
    """

    table: pd.DataFrame
    images: npt.NDArray[np.uint8]
    n_rejected: int = 0

    def of(self, user_id: Any) -> npt.NDArray[np.uint8]:
        """Pictures of one user, uint8 (n, size, size, 3), best first."""
        return np.asarray(self.images[(self.table[USER_ID] == user_id).to_numpy()])


@dataclass(frozen=True, eq=False)
class Illustrated:
    """Pictures made for items.

    Attributes
    ----------
    table
        A row per picture: ``item_id``, and ``generated``, which is true, so that a picture that
        stands among photos is known for what it is.
    images
        uint8 RGB, shape (len(table), size, size, 3), in the order of ``table``.
    """

    table: pd.DataFrame
    images: npt.NDArray[np.uint8]
