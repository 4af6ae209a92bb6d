"""How much made pictures look like real photos, as a judge sees both.

All figures compare two sets of a judge's features, float (n, d). They belong to that judge and
to those numbers of pictures: under another network or with other n they are other figures.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.evaluation.bootstrap import Interval
from prodgen_rec.evaluation.judged_items import check_finite
from prodgen_rec.ids import IdMap, as_id_array

Features = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]

_BOOT_BLOCK = 64
"""Resamples that are worked on at a time, which bounds the memory."""


def kernel_distance(
    real: Features, made: Features, *, n_boot: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Kernel inception distance times 1000, with its bootstrap interval.

    The squared maximum mean discrepancy under the kernel (x·y / d + 1)³, estimated without bias:
    about 0, below it as often as above, where both sets are of one kind. Both sets are resampled
    for the interval; pairs of a picture with itself, which resampling makes, do not count.

    Parameters
    ----------
    real, made
        A judge's features, shapes (n, d) and (m, d), n and m at least 2.
    n_boot, level, seed
        Resamples, probability mass of the interval, and seed of the resampling.

    Returns
    -------
    Interval
        ``n`` is the number of made pictures.

    Raises
    ------
    InputError
        A set has fewer than two pictures, or the features do not fit or are not finite.
    ConfigError
        ``n_boot`` or ``level`` is out of range.

    References
    ----------
    Bińkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs" (ICLR 2018), section 4.
    """
    _check_pair(real, made)
    if n_boot < 1 or not 0 < level < 1:
        raise ConfigError(f"n_boot = {n_boot}, level = {level}: expected n_boot ≥ 1, 0 < level < 1")
    within_real, within_made = _kernel(real, real), _kernel(made, made)
    across = _kernel(real, made)
    ones = np.ones((1, len(real))), np.ones((1, len(made)))
    value = _discrepancy(within_real, within_made, across, *ones)[0]
    rng = np.random.default_rng(seed)
    drawn = []
    for start in range(0, n_boot, _BOOT_BLOCK):
        size = min(_BOOT_BLOCK, n_boot - start)
        counts = [rng.multinomial(n, np.full(n, 1 / n), size) for n in across.shape]
        drawn.append(_discrepancy(within_real, within_made, across, *counts))
    tail = 50 * (1 - level)
    low, high = np.percentile(np.concatenate(drawn), [tail, 100 - tail])
    return Interval(1000 * float(value), 1000 * float(low), 1000 * float(high), len(made))


def frechet_distance(one: Features, other: Features) -> float:
    """Squared Fréchet distance of the normal distributions fitted to two sets, at least 0.

    It is biased upwards by little data, so it compares sets of one size only, beside the figure
    of two real sets of that size.

    Parameters
    ----------
    one, other
        A judge's features, both (n, d), n at least 2.

    Raises
    ------
    InputError
        The sets differ in size, or the features do not fit or are not finite.

    References
    ----------
    Heusel et al., "GANs trained by a two time-scale update rule" (NeurIPS 2017), eq. 6.
    """
    _check_pair(one, other)
    if len(one) != len(other):
        raise InputError(
            f"a Fréchet distance of {len(one)} and {len(other)} pictures says nothing: its bias "
            "depends on their number; draw sets of one size"
        )
    a, b = (np.asarray(x, np.float64) - x.mean(axis=0, dtype=np.float64) for x in (one, other))
    # With covariances AᵀA/k and BᵀB/k, tr((C₁C₂)^½) is the sum of singular values of ABᵀ/k.
    k = len(one) - 1
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum() / k
    apart = one.mean(axis=0, dtype=np.float64) - other.mean(axis=0, dtype=np.float64)
    spread = (np.square(a).sum() + np.square(b).sum()) / k
    return float(max(0.0, np.square(apart).sum() + spread - 2 * shared))


@dataclass(frozen=True)
class Coverage:
    """How made pictures lie among real ones.

    Attributes
    ----------
    density
        Mean number of real pictures' neighbourhoods that a made picture lies in, over k: near 1
        where made pictures are like real ones, above 1 where they crowd at the most typical.
    coverage
        Share of real pictures, 0 to 1, that have a made one in their neighbourhood.
    """

    density: float
    coverage: float


def density_and_coverage(real: Features, made: Features, *, k: int = 5) -> Coverage:
    """Density and coverage of made pictures among real ones.

    A real picture's neighbourhood reaches to the k-th nearest other real one. The figures depend
    on how many pictures there are, so compare them at equal n, beside those of held-out photos.

    Parameters
    ----------
    real, made
        A judge's features, shapes (n, d) and (m, d).
    k
        Neighbours, at least 1 and fewer than n.

    Raises
    ------
    InputError
        There are k real pictures or fewer, or the features do not fit or are not finite.

    References
    ----------
    Naeem et al., "Reliable fidelity and diversity metrics for generative models" (ICML 2020).
    """
    _check_pair(real, made)
    if not 1 <= k < len(real):
        raise InputError(f"k = {k}: expected 1 to {len(real) - 1}, fewer than the real pictures")
    among = _squared_distances(real, real)
    np.fill_diagonal(among, np.inf)
    radius = np.partition(among, k - 1, axis=1)[:, k - 1]
    inside = _squared_distances(real, made) < radius[:, None]
    return Coverage(float(inside.sum() / (k * len(made))), float(inside.any(axis=1).mean()))


@dataclass(frozen=True)
class Memorization:
    """Whether made pictures are nearer to training photos than unseen photos are.

    Attributes
    ----------
    made, held_out
        Median distance to the nearest training photo.
    share_nearer
        Chance that a made picture is nearer than a held-out photo, ½ where both are alike.
    p_value
        One-sided (Mann & Whitney 1947): how likely made pictures as near as these would be if
        they were no nearer than held-out photos.
    """

    made: float
    held_out: float
    share_nearer: float
    p_value: float


def memorization(training: Features, held_out: Features, made: Features) -> Memorization:
    """Compare distances to the nearest training photo.

    Parameters
    ----------
    training, held_out, made
        A judge's features of the photos that a model was trained on, of photos of the same kind
        that it never saw, and of its pictures; shapes (n, d).

    Raises
    ------
    InputError
        A set is too small, or the features do not fit or are not finite.
    """
    near = nearest_distances(training, made)
    expected = nearest_distances(training, held_out)
    test = mannwhitneyu(near, expected, alternative="less")
    share = 1 - float(test.statistic) / (len(near) * len(expected))
    return Memorization(
        float(np.median(near)), float(np.median(expected)), share, float(test.pvalue)
    )


def nearest_distances(training: Features, pictures: Features) -> Doubles:
    """Euclidean distance of each picture to the nearest training photo, float64 (n,)."""
    return nearest_photos(training, pictures)[1]


def nearest_photos(training: Features, pictures: Features) -> tuple[npt.NDArray[np.int64], Doubles]:
    """The training photo that is nearest to each picture.

    Parameters
    ----------
    training, pictures
        A judge's features, shapes (m, d) and (n, d).

    Returns
    -------
    row
        Its row among the training photos, the first of equally near ones, int64 (n,).
    distance
        Euclidean distance to it, float64 (n,).

    Raises
    ------
    InputError
        A set has fewer than two pictures, or the features do not fit or are not finite.
    """
    _check_pair(training, pictures)
    rows, squared = [], []
    for start in range(0, len(pictures), 1024):
        block = _squared_distances(training, pictures[start : start + 1024])
        rows.append(block.argmin(axis=0))
        squared.append(block.min(axis=0))
    return np.concatenate(rows), np.sqrt(np.concatenate(squared))


@dataclass(frozen=True)
class FidelityReport:
    """How real made pictures look, each figure beside what unseen photos reach.

    Attributes
    ----------
    kernel
        Kernel distance × 1000 to held-out photos.
    kernel_floor
        That of training photos to held-out photos: what a perfect model has.
    frechet, frechet_floor
        Fréchet distances at equal n, of made and of training photos to held-out ones.
    among, among_floor
        Density and coverage at equal n among training photos, of made pictures and of held-out
        photos.
    memory
        Nearness to the training photos.
    n
        Pictures in every set that is compared at equal n.
    """

    kernel: Interval
    kernel_floor: Interval
    frechet: float
    frechet_floor: float
    among: Coverage
    among_floor: Coverage
    memory: Memorization
    n: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def fidelity_report(
    training: Features, held_out: Features, made: Features, *, n_boot: int = 1000, seed: int = 0
) -> FidelityReport:
    """Compare made pictures with photos that a model was trained on and photos that it was not.

    Parameters
    ----------
    training, held_out, made
        A judge's features, shapes (n, d).
    n_boot, seed
        Resamples for intervals; seed of them and of the subsets of equal size.

    Raises
    ------
    InputError
        A set is too small, or the features do not fit or are not finite.
    """
    rng = np.random.default_rng(seed)
    n = min(len(training), len(held_out), len(made))
    equal = [x[rng.permutation(len(x))[:n]] for x in (training, held_out, made)]
    return FidelityReport(
        kernel=kernel_distance(held_out, made, n_boot=n_boot, seed=seed),
        kernel_floor=kernel_distance(held_out, equal[0], n_boot=n_boot, seed=seed),
        frechet=frechet_distance(equal[1], equal[2]),
        frechet_floor=frechet_distance(equal[1], equal[0]),
        among=density_and_coverage(equal[0], equal[2]),
        among_floor=density_and_coverage(equal[0], equal[1]),
        memory=memorization(training, held_out, made),
        n=n,
    )


@dataclass(frozen=True)
class Diversity:
    """How different pictures are, as mean cosine distances, 0 to 2.

    Attributes
    ----------
    within
        Of two pictures of one user, averaged over users; NaN where nobody has two.
    between
        Of two pictures of different users.
    """

    within: float
    between: float


def diversity(user_ids: Any, directions: Features) -> Diversity:
    """Diversity of pictures within and between users.

    Parameters
    ----------
    user_ids
        Raw id of each picture's user, shape (n,).
    directions
        Features scaled to length 1, (n, d); see `JudgedItems.directions_of`.

    Raises
    ------
    InputError
        There are not as many ids as pictures.
    """
    owners = as_id_array(user_ids, "user")
    if len(owners) != len(directions):
        raise InputError(f"there are {len(owners)} user ids for {len(directions)} pictures")
    user = IdMap.of(owners).find(owners)
    rows = np.asarray(directions, np.float64)
    n_of = np.bincount(user)
    sums = np.zeros((len(n_of), rows.shape[1]))
    np.add.at(sums, user, rows)
    own = np.bincount(user, np.square(rows).sum(axis=1))
    # Sum over ordered pairs of different pictures of a user, and of all users.
    same = np.square(sums).sum(axis=1) - own
    n_same = n_of * (n_of - 1)
    several = n_same > 0
    within = 1 - (same[several] / n_same[several]).mean() if several.any() else np.nan
    everything = np.square(rows.sum(axis=0)).sum() - own.sum()
    n_between = len(rows) * (len(rows) - 1) - n_same.sum()
    between = 1 - (everything - same.sum()) / n_between if n_between else np.nan
    return Diversity(float(within), float(between))


def _kernel(a: Features, b: Features) -> Doubles:
    product = np.asarray(a, np.float64) @ np.asarray(b, np.float64).T
    return np.asarray((product / a.shape[1] + 1) ** 3)


def _discrepancy(
    within_real: Doubles,
    within_made: Doubles,
    across: Doubles,
    real_counts: npt.NDArray[Any],
    made_counts: npt.NDArray[Any],
) -> Doubles:
    """Squared discrepancy for each row of counts, shapes (b, n) and (b, m) → (b,)."""
    n, m = across.shape
    real = _mean_of_pairs(within_real, real_counts)
    made = _mean_of_pairs(within_made, made_counts)
    mixed = ((real_counts @ across) * made_counts).sum(axis=1) / (n * m)
    return np.asarray(real + made - 2 * mixed)


def _mean_of_pairs(kernel: Doubles, counts: npt.NDArray[Any]) -> Doubles:
    """Mean of the kernel over pairs of different pictures, each as often as it was drawn."""
    squares = np.square(counts)
    total = ((counts @ kernel) * counts).sum(axis=1) - squares @ np.diagonal(kernel)
    return np.asarray(total / (np.square(counts.sum(axis=1)) - squares.sum(axis=1)))


def _squared_distances(a: Features, b: Features) -> Doubles:
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    squared = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    return np.asarray(np.maximum(squared, 0.0))


def _check_pair(one: Features, other: Features) -> None:
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise InputError(
            f"features have shapes {one.shape} and {other.shape}, expected (n, d) and (m, d); "
            "compute both with the same judge"
        )
    if min(len(one), len(other)) < 2:
        raise InputError(
            f"got {len(one)} and {len(other)} pictures; a comparison needs at least two of each"
        )
    for name, features in (("first", one), ("second", other)):
        check_finite(np.asarray(features, np.float32), f"pictures of the {name} set")
