"""What is known of items besides who took them: their features.

A feature is a set of items that are alike in something: the colors of one product, a
department, photos that look alike. Recommenders take a feature for one more user, who took
all of its items: the collective factorization of Singh & Gordon, "Relational learning via
collective matrix factorization" (KDD 2008), with one loss for both matrices. So items with
features in common come near to each other, and one that nobody took yet has a vector, too.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array, vstack

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.ids import IdMap, as_id_array
from prodgen_rec.interactions import on_items
from prodgen_rec.matrices import check_matrix
from prodgen_rec.preferences.topk import top_n


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """Features of items, with how much each says.

    Attributes
    ----------
    items
        Raw ids of the columns.
    matrix
        float32 (n_features, n_items), finite, canonical: above 0 where an item has a feature, as
        evidence of the kind that a user's pair has.

    Raises
    ------
    InputError
        The matrix is another one; `of_matrix` takes more kinds.
    """

    items: IdMap
    matrix: csr_array

    def __post_init__(self) -> None:
        shape: tuple[int, ...] = getattr(self.matrix, "shape", ())
        if len(shape) != 2 or shape[1] != len(self.items):
            turned = "; it seems to be items × features: pass matrix.T"
            raise InputError(
                f"features of shape {shape} came with {len(self.items)} items; expected one column "
                f"per item{turned if shape[:1] == (len(self.items),) else ''}"
            )
        check_matrix(self.matrix, (shape[0], shape[1]), "features × items")
        wrong = ~(np.isfinite(self.matrix.data) & (self.matrix.data >= 0))
        if wrong.any():
            first = int(np.argmax(wrong))
            item = self.items.arrow[int(self.matrix.indices[first])].as_py()
            raise InputError(
                f"features hold {int(wrong.sum())} values that are below 0 or not finite, the "
                f"first is {self.matrix.data[first]} for item {item!r}"
            )

    @classmethod
    def none(cls, items: IdMap) -> Self:
        """No features at all."""
        return cls(items, csr_array((0, len(items)), dtype=np.float32))

    @classmethod
    def of_columns(
        cls, item_ids: Iterable[Any] | IdMap, table: pd.DataFrame, weights: Mapping[str, float]
    ) -> Self:
        """Every value of some columns is a feature of the items that have it.

        Parameters
        ----------
        item_ids
            Raw ids of the rows, each once.
        table
            One row per item; empty cells are no features.
        weights
            Names of columns, and the evidence that an item has each of its values, above 0.

        Raises
        ------
        ConfigError
            There is no such column, or a weight is not above 0.
        InputError
            There are more or fewer rows than ids.
        """
        items = item_ids if isinstance(item_ids, IdMap) else IdMap(as_id_array(item_ids, "items"))
        if len(table) != len(items):
            raise InputError(
                f"a table of {len(table)} rows came with {len(items)} items; expected one for each"
            )
        blocks = [csr_array((0, len(items)), dtype=np.float32)]
        for name, weight in weights.items():
            if name not in table:
                near = difflib.get_close_matches(name, map(str, table.columns), n=1)
                offer = f"did you mean {near[0]!r}?" if near else f"known are {list(table.columns)}"
                raise ConfigError(f"there is no column {name!r} of items; {offer}")
            blocks.append(_indicators(table[name], _checked(weight, name)))
        return cls(items, vstack(blocks, format="csr"))

    @classmethod
    def of_matrix(cls, items: IdMap, matrix: Any) -> Self:
        """Features as a sparse matrix of any kind, as a vectorizer of texts gives them.

        Parameters
        ----------
        items
            Raw ids of the columns.
        matrix
            Shape (n_features, n_items), evidence, at least 0.

        Raises
        ------
        InputError
            The shape is another one, or a value is below 0 or not finite.
        """
        matrix = csr_array(matrix, dtype=np.float32)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return cls(items, matrix)

    @classmethod
    def of_neighbors(
        cls, items: IdMap, vectors: npt.NDArray[np.float32], *, n: int, weight: float
    ) -> Self:
        """Every item makes up a feature with the n that are most like it.

        Parameters
        ----------
        items
            Raw ids of the rows.
        vectors
            float32 (n_items, d), of photos or texts for example; compared by cosine.
        n
            Neighbors of an item, 1 to n_items - 1.
        weight
            Evidence that an item is in a feature, above 0.

        Raises
        ------
        ConfigError
            There are not so many neighbors, or the weight is not above 0.
        InputError
            There are more or fewer vectors than items, or one is not finite.
        """
        if len(vectors) != len(items):
            raise InputError(
                f"vectors of shape {vectors.shape} came with {len(items)} items; expected one row "
                "per item"
            )
        if not 1 <= n < len(items):
            raise ConfigError(f"n = {n}: expected 1 to {len(items) - 1} neighbors of an item")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        units = (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
        index, _ = top_n(units, units, n + 1)
        rows = np.repeat(np.arange(len(items)), n + 1)
        shape = (len(items), len(items))
        data = np.full(rows.size, _checked(weight, "neighbors"), np.float32)
        matrix = csr_array((data, (rows, index.ravel())), shape=shape)
        matrix.sort_indices()
        return cls(items, matrix)

    def for_items(self, items: IdMap) -> csr_array:
        """The matrix on other items, those without any feature among them."""
        return on_items(self.matrix, self.items, items)

    def times(self, weight: float) -> ItemFeatures:
        """The same features, their evidence multiplied."""
        return ItemFeatures(self.items, csr_array(self.matrix * np.float32(weight)))

    def and_also(self, other: ItemFeatures) -> ItemFeatures:
        """The features of both, for the items of either."""
        items = self.items.union(other.items, what="item")
        return ItemFeatures(
            items, vstack([self.for_items(items), other.for_items(items)], format="csr")
        )


def _checked(weight: float, name: str) -> float:
    if not 0 < weight < math.inf:
        raise ConfigError(f"the weight of {name!r} is {weight!r}: expected a number above 0")
    return float(weight)


def _indicators(column: pd.Series[Any], weight: float) -> csr_array:
    """One row per value, sorted, ``weight`` where an item has it."""
    codes, values = pd.factorize(column, sort=True)
    has = np.flatnonzero(codes >= 0)
    data = np.full(len(has), weight, np.float32)
    matrix = csr_array((data, (codes[has], has)), shape=(len(values), len(column)))
    matrix.sort_indices()
    return matrix
