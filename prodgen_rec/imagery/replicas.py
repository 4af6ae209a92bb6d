"""More than one device: each computes the gradients of its rows of a batch.

``tf.distribute.MirroredStrategy`` keeps a copy of every variable on each device. A device draws
what one alone would draw for the same rows, and gradients are averaged before anything is done
with them, so that the number of devices changes results by rounding alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import tensorflow as tf

from prodgen_rec.errors import ConfigError


def strategy() -> tf.distribute.Strategy:
    """For all GPUs, or all logical processors where there is none; plain for one of them.

    Models must be built and trained in its scope. A strategy in whose scope this is called is
    returned as it is.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < 2 or tf.distribute.has_strategy():
        return tf.distribute.get_strategy()
    return _mirrored(*(device.name for device in devices))


@cache
def _mirrored(*devices: str) -> tf.distribute.Strategy:
    # A second one would number its exchanges from the start, and TensorFlow take them for the
    # first one's.
    return tf.distribute.MirroredStrategy(devices)


def own_rows(batch: Sequence[Any]) -> Sequence[Any]:
    """Every n-th row of a batch, where there are n devices.

    Rows are dealt like cards, so that a device gets the same share of the first half of a batch as
    of the second.

    Raises
    ------
    ConfigError
        Devices would get different numbers of rows.
    """
    place, n = _place()
    if n == 1:
        return batch
    n_rows = batch[0].shape[0]
    if n_rows % n:
        raise ConfigError(
            f"a batch of {n_rows} cannot be dealt evenly to {n} devices; choose a batch size that "
            f"is a multiple of {n}, or let TensorFlow see fewer devices (CUDA_VISIBLE_DEVICES)"
        )
    return [rows[place::n] for rows in batch]


def normal(shape: Any, seed: Any) -> Any:
    """Standard normal numbers for the rows of a batch, those that one device would draw for them.

    Parameters
    ----------
    shape
        The first number counts the rows of this device.
    seed
        int (2,), the same on all devices.
    """
    return _own_numbers(tf.random.stateless_normal, shape, seed, 0)


def uniform(shape: Any, seed: Any, *, axis: int = 0) -> Any:
    """Numbers from [0, 1), as `normal` draws them; ``axis`` tells which number counts the rows."""
    return _own_numbers(tf.random.stateless_uniform, shape, seed, axis)


def averaged(values: Any) -> Any:
    """Tensors, in any structure, averaged over the devices."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce("MEAN", values)


def _place() -> tuple[int, int]:
    """Number of this device, and of how many."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:  # not in a training step, or alone
        return 0, 1
    return context.replica_id_in_sync_group, context.num_replicas_in_sync


def _own_numbers(sample: Callable[[Any, Any], Any], shape: Any, seed: Any, axis: int) -> Any:
    place, n = _place()
    if n == 1:
        return sample(shape, seed)
    # Numbers are drawn one after the other: these are the whole batch's, n rows side by side.
    before, after = shape[: axis + 1], shape[axis + 1 :]
    whole = sample(tf.concat([before, [n], after], axis=0), seed)
    return tf.gather(whole, place, axis=axis + 1)
