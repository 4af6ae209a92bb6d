"""Vectors of users without a history, from what is known of them: a country, a segment, a channel.

Gantner et al., "Learning attribute-to-feature mappings for cold-start recommendations" (ICDM
2010): a regression of the vectors of users on their attributes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from prodgen_rec.columns import USER_ID
from prodgen_rec.errors import InputError
from prodgen_rec.ids import IdMap, as_id_array
from prodgen_rec.preferences.parallel import one_blas_thread
from prodgen_rec.preferences.vectors import VectorRecommender, Vectors
from prodgen_rec.vocabulary import UNSAID, Codes, Vocabulary

_RIDGES = 10.0 ** np.arange(-1.0, 6.25, 0.25)
"""Penalties that are tried: so many users with a value move it half-way from the mean."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NewcomerTaste:
    """What attributes of users say about their preference.

    Minimizes, over the mean vector m and one vector b of each value of an attribute,

        sum over users u of  ‖x_u - m - sum_v φ_uv b_v‖²  +  λ sum ‖b_v‖²,

    φ_uv being 1 where u has the value, less the share of those who have it among all with that
    attribute; and 0 where the attribute is not known of u, who is then thought to be like the
    mean. Users count alike, however long their histories: what is asked for is the taste of a
    person. λ is the one by which users are told best by all others, each left out once, in closed
    form.

    Attributes
    ----------
    vocabulary
        Attributes and their values.
    mean
        float32 (d,), of the users whose attributes are known.
    effects
        float32 (n_values, d), what each value adds to the mean, attribute by attribute.
    ridge
        λ. The largest that is tried, a million, says that attributes tell nothing.
    """

    vocabulary: Vocabulary
    mean: Vectors
    effects: Vectors
    ridge: float

    def __post_init__(self) -> None:
        expected = sum(self.vocabulary.sizes), self.mean.size
        if self.mean.ndim != 1 or self.effects.shape != expected:
            raise ValueError(
                f"a mean of shape {self.mean.shape} and effects of shape {self.effects.shape} for "
                f"{expected[0]} values"
            )

    @classmethod
    def fit(cls, recommender: VectorRecommender, users: pd.DataFrame) -> Self:
        """Learn from the users of a fit who have a preference.

        Parameters
        ----------
        recommender
            Fitted.
        users
            What is known: ``user_id``, each once, and one column for each attribute, of at most 512
            values. Empty cells say nothing. Ages and incomes are of use in bands.

        Raises
        ------
        InputError
            There are no ids or attributes, an id comes twice, or fewer than two users of the fit
            are described.
        ConfigError
            A column holds no value, or too many.
        """
        described, of_fit = _checked(users), recommender.users_.arrow
        place = described.find(of_fit)
        vectors = recommender.user_vectors_.astype(np.float64)
        said = users.drop(columns=USER_ID).notna().any(axis=1).to_numpy()
        taught = np.flatnonzero((place >= 0) & vectors.any(axis=1))
        taught = taught[said[place[taught]]]
        if len(taught) < 2:
            raise InputError(
                f"users: the table says something of {len(taught)} users of the fit who have a "
                f"preference; expected at least 2: ids of the fit begin with "
                f"{of_fit[:1].to_pylist()}, of the table with {described.arrow[:1].to_pylist()}"
            )
        known = users.iloc[place[taught]]
        vocabulary = Vocabulary.of(known, known.columns.drop(USER_ID), "users of the fit")
        with one_blas_thread():  # sums in one order
            profiles = _Profiles.of(vocabulary.codes(known), vectors[taught])
            mean, effects, ridge = _regressed(profiles, vocabulary.sizes)
        return cls(vocabulary, mean.astype(np.float32), effects.astype(np.float32), ridge)

    def vectors_of(self, user_ids: Iterable[Any] | pa.Array, users: pd.DataFrame) -> Vectors:
        """Vectors of users by what is known of them; a user's depends on that user alone.

        Parameters
        ----------
        user_ids
            Raw ids.
        users
            As in `fit`, of these or other users. Values that the fit did not know, and attributes
            besides its own, say nothing.

        Returns
        -------
        float32 (n, d), in the order of the ids: the mean and the effects of what is known; zero,
        that is no preference, where nothing is.

        Raises
        ------
        InputError
            There are no ids, or an id comes twice.
        ConfigError
            The table lacks an attribute.
        """
        place = _checked(users).find(user_ids)
        described = np.flatnonzero(place >= 0)
        codes = np.full((len(place), len(self.vocabulary.sizes)), UNSAID, np.int32)
        codes[described] = self.vocabulary.codes(users, "users")[place[described]]
        vectors = np.tile(self.mean.astype(np.float64), (len(codes), 1))
        for (start, _), code in zip(_bounds(self.vocabulary.sizes), codes.T, strict=True):
            vectors += np.where((code != UNSAID)[:, None], self.effects[start + code], 0.0)
        vectors[(codes == UNSAID).all(axis=1)] = 0.0
        return vectors.astype(np.float32)


class _Profiles(NamedTuple):
    """Users with equal attributes, taken together: all that least squares needs to know."""

    codes: Codes  # (m, n_attributes)
    counts: Floats  # (m,) users
    sums: Floats  # (m, d) of their vectors
    squares: Floats  # (m,) sum of the squares of their vectors

    @classmethod
    def of(cls, codes: Codes, vectors: Floats) -> _Profiles:
        """Vectors are (n_users, d)."""
        profiles, which = np.unique(codes, axis=0, return_inverse=True)
        sums = np.zeros((len(profiles), vectors.shape[1]))
        np.add.at(sums, which, vectors)
        squares, counts = np.zeros(len(profiles)), np.zeros(len(profiles))
        np.add.at(squares, which, (vectors**2).sum(axis=1))
        np.add.at(counts, which, 1.0)
        return cls(profiles, counts, sums, squares)

    def centred(self, mean: Floats) -> _Profiles:
        """The same users, their vectors less a mean."""
        squares = self.squares - 2 * self.sums @ mean + self.counts * (mean @ mean)
        sums = self.sums - self.counts[:, None] * mean
        return self._replace(sums=sums, squares=squares)


def _regressed(profiles: _Profiles, sizes: tuple[int, ...]) -> tuple[Floats, Floats, float]:
    """The mean (d,), what each value adds to it, (n_values, d), and the penalty."""
    mean = profiles.sums.sum(axis=0) / profiles.counts.sum()
    profiles = profiles.centred(mean)
    design = _indicators(profiles.codes, sizes)
    shares = []
    for attribute, (start, stop) in enumerate(_bounds(sizes)):
        known = profiles.codes[:, attribute] != UNSAID
        share = profiles.counts @ design[:, start:stop] / (profiles.counts @ known)
        design[:, start:stop] -= np.outer(known, share)
        shares.append(share)
    effects, ridge = _told_best(profiles, design)
    for share, (start, stop) in zip(shares, _bounds(sizes), strict=True):
        effects[start:stop] -= share @ effects[start:stop]
    return mean, effects, ridge


def _told_best(profiles: _Profiles, design: Floats) -> tuple[Floats, float]:
    """Coefficients (n_values, d) of the penalty with the least error of users left out.

    The residual of a user who was not learned from is e / (1 - h), h being the user's leverage
    (Allen, "The relationship between variable selection and data augmentation", Technometrics
    1974); the mean, which is not penalized, has its part in h.

    Parameters
    ----------
    profiles
        Centred by the mean.
    design
        φ, (m, n_values); the counts times φ sum to zero in every column.
    """
    weighted = profiles.counts[:, None] * design
    strengths, basis = np.linalg.eigh(weighted.T @ design)
    turned = design @ basis
    right = turned.T @ profiles.sums
    best, least = (np.zeros_like(right), float(_RIDGES[-1])), np.inf
    for ridge in _RIDGES:
        inverse = 1.0 / (np.maximum(strengths, 0.0) + ridge)
        coefficients = inverse[:, None] * right
        error = _error_left_out(profiles, turned @ coefficients, leverage=turned**2 @ inverse)
        if error <= least:
            best, least = (coefficients, float(ridge)), error
    return basis @ best[0], best[1]


def _error_left_out(profiles: _Profiles, fitted: Floats, leverage: Floats) -> float:
    """Sum over users of ‖e / (1 - h)‖², from fits (m, d) and leverages (m,) beside the mean's."""
    squares = (
        profiles.squares
        - 2 * np.vecdot(fitted, profiles.sums)
        + profiles.counts * np.vecdot(fitted, fitted)
    )
    left = 1.0 - 1.0 / profiles.counts.sum() - leverage
    return float((squares / left**2).sum())


def _bounds(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last+1 place of the values of each attribute."""
    return list(pairwise(np.cumsum((0, *sizes)).tolist()))


def _indicators(codes: Codes, sizes: tuple[int, ...]) -> Floats:
    """1 where a row has a value, (m, n_values)."""
    has = np.zeros((len(codes), sum(sizes)))
    row, attribute = np.nonzero(codes != UNSAID)
    has[row, np.array(_bounds(sizes))[attribute, 0] + codes[row, attribute]] = 1.0
    return has


def _checked(users: object) -> IdMap:
    """Ids of a table of users, in its order."""
    if not isinstance(users, pd.DataFrame) or USER_ID not in users or users.shape[1] < 2:
        came = list(users.columns) if isinstance(users, pd.DataFrame) else type(users).__name__
        raise InputError(
            f"users: expected a DataFrame with {USER_ID!r} and a column for each attribute, got "
            f"{came}"
        )
    described = IdMap(as_id_array(users[USER_ID].array, "users"))
    if described.first_repeated is not None:
        raise InputError(
            f"users: {described.first_repeated!r} comes more than once; expected one row for each"
        )
    return described
