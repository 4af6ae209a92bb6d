"""Whether the pictures made for a user show what that user wants: types, colors, and the like.

What a picture shows is told by a classifier (such as `CatalogJudge`), what a user wants is
known: planted, or seen in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from prodgen_rec import columns
from prodgen_rec.catalog import Catalog
from prodgen_rec.columns import ATTRIBUTE
from prodgen_rec.errors import InputError
from prodgen_rec.evaluation.bootstrap import mean_interval
from prodgen_rec.ids import IdMap, as_id_array


def attribute_agreement(
    user_ids: Iterable[Any],
    predicted: pd.DataFrame,
    wanted: pd.DataFrame,
    *,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of pictures that show a value that their user wants, beside chance.

    Chance is what the same pictures would reach if they were dealt out among the users at
    random, by expectation, which has a closed form: the mean over users of the share of all
    pictures that show a value the user wants.

    Parameters
    ----------
    user_ids
        Raw id of each picture's user, shape (n_images,); a user's first one comes first.
    predicted
        A row per picture and a column per attribute: the value that the picture shows.
    wanted
        Columns ``user_id, attribute, value``: one or more values per user and attribute. Users
        without any are left out for that attribute, as are attributes that are not predicted.

    Returns
    -------
    DataFrame
        Two rows per attribute. ``pictures`` is ``first`` for the share of users whose first
        picture agrees, ``all`` for the mean over users of the share of their pictures that
        agree. ``value``, with ``low`` and ``high`` of its 95 % bootstrap interval over users,
        ``chance`` and ``n_users``.

    Raises
    ------
    InputError
        A column is missing, the lengths differ, or no user has both pictures and wishes.

    Examples
    --------
    >>> shown = pd.DataFrame({"color": ["red", "blue", "blue"]})
    >>> wanted = pd.DataFrame({"user_id": [1, 2], "attribute": "color", "value": ["red", "blue"]})
    >>> table = attribute_agreement([1, 1, 2], shown, wanted)
    >>> table[["pictures", "value", "chance"]].to_numpy().tolist()
    [['first', 1.0, 0.5], ['all', 0.75, 0.5]]
    """
    _check_columns(wanted, (columns.USER_ID, ATTRIBUTE, columns.VALUE))
    owners = as_id_array(user_ids, "user")
    if len(owners) != len(predicted):
        raise InputError(f"there are {len(owners)} user ids for {len(predicted)} pictures")
    attributes = [name for name in predicted if (wanted[ATTRIBUTE] == name).any()]
    if not attributes:
        raise InputError(
            f"predicted are {', '.join(map(str, predicted))}, and wanted "
            f"{', '.join(map(str, wanted[ATTRIBUTE].unique()))}; they have no attribute in common"
        )
    rows = []
    for name in attributes:
        pictures, wishes = _encoded(owners, predicted[name], wanted[wanted[ATTRIBUTE] == name])
        # Dropping repeats keeps each user's first picture.
        for which, chosen in (("first", pictures.drop_duplicates("user")), ("all", pictures)):
            agrees, chance = _agreement(chosen, wishes)
            mean = mean_interval(agrees, n_boot=n_boot, seed=seed)
            rows.append((name, which, mean.value, mean.low, mean.high, chance, mean.n))
    names = [ATTRIBUTE, "pictures", "value", "low", "high", "chance", "n_users"]
    return pd.DataFrame(rows, columns=names)


def frequent_values(
    pairs: pd.DataFrame, catalog: Catalog, attributes: Sequence[str], *, n: int = 2
) -> pd.DataFrame:
    """What users of a real log want: the values of the items that they took most often.

    Parameters
    ----------
    pairs
        Columns ``user_id, item_id``: history and hold-out together. Items that the catalogue
        does not know do not count.
    catalog
        Holds the attributes.
    attributes
        Columns of ``catalog.attributes``.
    n
        Values per user and attribute; equally frequent ones go by their order.

    Returns
    -------
    DataFrame
        ``user_id, attribute, value``, as `attribute_agreement` takes it.

    Raises
    ------
    InputError
        A column is missing, or the catalogue has no such attribute.
    """
    _check_columns(pairs, (columns.USER_ID, columns.ITEM_ID))
    _check_columns(catalog.attributes, attributes)
    row = catalog.items.find(pairs[columns.ITEM_ID].to_numpy())
    users = pairs[columns.USER_ID].to_numpy()[row >= 0]
    tables = []
    for name in attributes:
        values = catalog.attributes[name].to_numpy()[row[row >= 0]]
        taken = pd.DataFrame({columns.USER_ID: users, ATTRIBUTE: name, columns.VALUE: values})
        counts = taken.groupby(list(taken.columns), as_index=False, observed=True).size()
        counts = counts.sort_values(
            [columns.USER_ID, "size"], ascending=[True, False], kind="stable"
        )
        tables.append(counts.groupby(columns.USER_ID).head(n).drop(columns="size"))
    return pd.concat(tables, ignore_index=True)


def _encoded(
    owners: pa.Array, shown: pd.Series[Any], wishes: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pictures of users with wishes, and wishes of users with pictures: ``user, value``.

    Both columns are dense indices. A value that no picture shows is -1: it agrees with none.
    """
    users = IdMap.of(wishes[columns.USER_ID].to_numpy(), "user")
    values = IdMap.of(shown.to_numpy(), f"predicted {shown.name}")
    pictures = pd.DataFrame({"user": users.find(owners), "value": values.find(shown.to_numpy())})
    pictures = pictures[pictures["user"] >= 0]
    if pictures.empty:
        raise InputError(
            f"none of the {len(users)} users who want some {shown.name} have a picture; "
            "check that the user ids of both tables are written the same way"
        )
    wanted = pd.DataFrame(
        {
            "user": users.find(wishes[columns.USER_ID].to_numpy()),
            "value": values.find(wishes[columns.VALUE].to_numpy()),
        }
    )
    return pictures, wanted[wanted["user"].isin(pictures["user"])].drop_duplicates()


def _agreement(pictures: pd.DataFrame, wishes: pd.DataFrame) -> tuple[pd.Series[float], float]:
    """Share of agreeing pictures of each user, and what a random deal is expected to give."""
    found = pictures.merge(wishes.assign(agrees=1.0), how="left", on=["user", "value"])
    agrees = found["agrees"].fillna(0.0).groupby(found["user"]).mean()
    counts = pictures["value"].value_counts().reindex(wishes["value"], fill_value=0)
    return agrees, float(counts.sum() / (len(pictures) * len(agrees)))


def _check_columns(table: pd.DataFrame, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in table]
    if missing:
        raise InputError(
            f"no column {', '.join(missing)} in the table; it has "
            f"{', '.join(map(str, table.columns))}; rename with DataFrame.rename(columns=…)"
        )
