"""What users took in a log, as pairs, and which users are judged by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.columns import ITEM_ID, USER_ID
from prodgen_rec.errors import InputError
from prodgen_rec.hashing import hash_ids
from prodgen_rec.interactions import Interactions


def pairs_table(interactions: Interactions) -> pd.DataFrame:
    """Pairs of positive evidence as columns ``user_id, item_id``."""
    pairs = interactions.matrix.tocoo()
    taken = pairs.data > 0
    return pd.DataFrame(
        {
            USER_ID: interactions.users.take(pairs.row[taken]),
            ITEM_ID: interactions.items.take(pairs.col[taken]),
        }
    )


def new_pairs(history: Interactions, holdout: Interactions) -> pd.DataFrame:
    """Pairs of positive evidence in the hold-out that the history does not hold.

    Raises
    ------
    InputError
        There are none.
    """
    wanted = pairs_table(holdout)
    user = history.users.find(holdout.users.arrow)
    item = history.items.find(holdout.items.arrow)
    pairs = holdout.matrix.tocoo()
    taken = pairs.data > 0
    rows, cols = user[pairs.row[taken]], item[pairs.col[taken]]
    both = (rows >= 0) & (cols >= 0)
    seen = np.zeros(len(wanted), bool)
    seen[both] = _stored(history, rows[both], cols[both])
    if seen.all():
        raise InputError(
            f"the hold-out has {len(wanted)} pairs of positive evidence, and the history holds all "
            "of them; pass the log up to the hold-out as history"
        )
    return wanted[~seen].reset_index(drop=True)


def drawn_users(user_ids: npt.NDArray[Any], n: int, seed: int) -> npt.NDArray[Any]:
    """At most n of the users, drawn by the seed, independent of their order."""
    order = np.argsort(hash_ids(user_ids, seed), kind="stable")
    return np.asarray(user_ids[order[:n]])


def _stored(
    history: Interactions, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    pairs = history.matrix.tocoo()
    width = np.int64(history.n_items)
    return np.isin(rows * width + cols, pairs.row.astype(np.int64) * width + pairs.col)
