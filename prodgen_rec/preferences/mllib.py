"""ALS by Spark's MLlib, where the interactions outgrow one machine (the extra ``spark``).

MLlib minimizes the objective of `ALS`, with other names for its parts. With n the number of pairs
of a user or item, and vectors x' and y',

    ours     c (p - x·y)²   +   λ (n_u / m_u) ‖x‖²   +   λ (n_i / m_i) ‖y‖²
    MLlib    c (p - x'·y')²  +   ρ n_u ‖x'‖²          +   ρ n_i ‖y'‖²

with the same c = 1 + α |r| and p, where m are the means of n and ``frequency_scaling`` is 1. Both
are the same for ρ = λ / √(m_u m_i), x = s x' and y = y' / s, where s⁴ = m_u / m_i.

Two things differ. `ALS` rounds n up to a power of two, and MLlib counts only pairs of positive
evidence in n; where all are powers of two and positive, the minimum is the same. And sums over
machines have no order: the same seed gives the same vectors only nearly.

Sources: Hu, Koren & Volinsky (ICDM 2008); for the scaling by n, Zhou, Wilkinson, Schreiber & Pan,
"Large-scale parallel collaborative filtering for the Netflix prize" (AAIM 2008).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from prodgen_rec.columns import ITEM_ID, USER_ID
from prodgen_rec.errors import ConfigError, InputError, MissingExtraError

try:
    from pyspark.ml import recommendation
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as f
except ImportError as error:
    raise MissingExtraError("pyspark", "spark") from error

from prodgen_rec.ids import IdMap, as_id_array
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences.als import ALS
from prodgen_rec.preferences.vectors import Vectors

EVIDENCE = "evidence"
"""Column of the net evidence of a pair, as `Interactions` has it."""
_USER, _ITEM = "user", "item"
_PASSES = 5
"""From one checkpoint to the next."""


class Side(NamedTuple):
    """Numbers of pairs of users, or of items.

    Attributes
    ----------
    mean
        m.
    typical
        The mean of n rounded up to powers of two, as `ALS` counts.
    """

    mean: float
    typical: float


def fit_mllib(pairs: DataFrame, settings: ALS, kept: Interactions, checkpoints: str) -> ALS:
    """Learn item vectors from pairs that lie on a cluster.

    Parameters
    ----------
    pairs
        ``user_id``, ``item_id`` and ``evidence``; rows of the same pair add up.
    settings
        Hyper-parameters; ``alpha`` is a number, and ``frequency_scaling`` 1.
    kept
        Histories of the users that the result holds, such as those that an image model learns
        from; of these, the items that the pairs have. Others are folded in when they are served.
    checkpoints
        Folder or URL that all machines see. Each pass depends on the one before; without a copy
        from time to time, Java's stack does not hold the chain of twenty.

    Returns
    -------
    ALS
        Its item vectors are MLlib's. The user vectors are its own exact solve against them.

    Raises
    ------
    ConfigError
        The settings have no counterpart in MLlib.
    InputError
        There is no pair with evidence.
    """
    alpha = settings.alpha
    if alpha is None or settings.frequency_scaling != 1:
        raise ConfigError(
            f"{settings}: MLlib needs a number for alpha, and frequency_scaling=1, the only one "
            "that it knows"
        )
    pairs.sparkSession.sparkContext.setCheckpointDir(checkpoints)
    net = pairs.groupBy(USER_ID, ITEM_ID).agg(f.sum(EVIDENCE).cast("float").alias(EVIDENCE))
    net = net.where(f.col(EVIDENCE) != 0).persist()
    try:
        found = net.select(ITEM_ID).distinct().toArrow()[ITEM_ID]
        if len(found) == 0:
            raise InputError("no pair has evidence that is not 0; see whether the log arrived")
        items = IdMap.of(as_id_array(found))
        sides = _side(net, USER_ID), _side(net, ITEM_ID)
        model = fitted_by_mllib(_indexed(net, items), settings, alpha, sides)
    finally:
        net.unpersist()
    vectors = _item_vectors(model, len(items)) / np.float32(scale_of(sides))
    typical = np.array([side.typical for side in sides])
    return replace(settings).with_items(kept.for_items(items), vectors, float(alpha), typical)


def scale_of(sides: tuple[Side, Side]) -> float:
    """s: our user vectors over MLlib's, and its item vectors over ours."""
    return float((sides[0].mean / sides[1].mean) ** 0.25)


def fitted_by_mllib(
    indexed: DataFrame, settings: ALS, alpha: float, sides: tuple[Side, Side]
) -> recommendation.ALSModel:
    """MLlib's model of our objective.

    Parameters
    ----------
    indexed
        ``user`` and ``item``, int32, and ``evidence``.
    settings, alpha
        Hyper-parameters.
    sides
        Of users, and of items.
    """
    learner = recommendation.ALS(
        rank=settings.factors,
        maxIter=settings.iterations,
        regParam=settings.regularization / float(np.sqrt(sides[0].mean * sides[1].mean)),
        implicitPrefs=True,
        checkpointInterval=_PASSES,
        alpha=alpha,
        seed=settings.seed,
        userCol=_USER,
        itemCol=_ITEM,
        ratingCol=EVIDENCE,
    )
    return learner.fit(indexed)


def _side(net: DataFrame, column: str) -> Side:
    counts = net.groupBy(column).count()
    mean, typical = counts.agg(f.avg("count"), f.avg(_power_of_two(f.col("count")))).collect()[0]
    return Side(mean, typical)


def _power_of_two(counts: Column) -> Column:
    """Smallest power of two that is at least the count, which is at least 1."""
    return f.when(counts == 1, 1.0).otherwise(f.pow(f.lit(2.0), f.length(f.bin(counts - 1))))


def _indexed(net: DataFrame, items: IdMap) -> DataFrame:
    """The same pairs with numbers for ids, as MLlib wants them."""
    session = net.sparkSession
    places = pa.array(np.arange(len(items), dtype=np.int32))
    by_item = session.createDataFrame(pa.table({ITEM_ID: items.arrow, _ITEM: places}))
    users = net.select(USER_ID).distinct()
    numbered = users.rdd.zipWithIndex().map(lambda pair: (pair[0][0], pair[1]))
    kind = users.schema[USER_ID].dataType.simpleString()
    by_user = session.createDataFrame(numbered, f"{USER_ID} {kind}, {_USER} long")
    return (
        net.join(by_user, USER_ID)
        .join(f.broadcast(by_item), ITEM_ID)
        .select(f.col(_USER).cast("int"), _ITEM, EVIDENCE)
    )


def _item_vectors(model: recommendation.ALSModel, n_items: int) -> Vectors:
    """MLlib's vectors, float32, shape (n_items, d)."""
    table = model.itemFactors.toArrow().combine_chunks()
    rows = table["features"].combine_chunks().flatten().to_numpy().reshape(-1, model.rank)
    vectors = np.zeros((n_items, model.rank), np.float32)
    vectors[table["id"].to_numpy()] = rows
    return vectors
