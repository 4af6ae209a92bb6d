"""How networks are built, fed and run, so that equal seeds give equal results."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from prodgen_rec.preferences.parallel import run_in_threads

TILE = 64
"""Rows that a network sees at a time outside training.

One shape means one kernel, so that a row's result is the same to the last bit whatever
rows stand beside it, on one thread or many. A test holds this to be true.
"""


def by_tiles(function: Callable[..., Any], *arrays: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Apply a function of row batches to tiles of 64 rows, the last one padded with zeros.

    As many tiles are worked on at once as there are CPUs: networks of vectors are so quickly done
    with one that TensorFlow's threads would wait for each other most of the time. In a task of
    `run_in_threads` it is one tile after the other.

    Parameters
    ----------
    function
        Takes as many batches of exactly 64 rows as there are arrays; returns one, which the next
        call in the same thread may write over.
    arrays
        At least one, of equal length n; may be memory maps.

    Returns
    -------
    Array of n rows.
    """
    n = len(arrays[0])
    starts = range(0, max(n, 1), TILE)
    results: list[npt.NDArray[Any]] = []
    first = threading.Lock()

    def task(start: int) -> None:
        tiles = [_padded(array[start : start + TILE]) for array in arrays]
        rows = np.asarray(function(*tiles))[: n - start]
        with first:
            if not results:
                results.append(np.empty((n, *rows.shape[1:]), rows.dtype))
        results[0][start : start + len(rows)] = rows

    run_in_threads(task, starts)
    return results[0]


def _padded(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if len(rows) == TILE:
        return rows
    padding = np.zeros((TILE - len(rows), *rows.shape[1:]), rows.dtype)
    return np.concatenate([rows, padding])


def one_thread_per_operation() -> None:
    """Let every operation work in one thread, for programs that call networks from several.

    It is a setting of the process, and stays as it is where TensorFlow has computed before.
    """
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)


def compiled(function: Callable[..., Any], *, fused: bool = False) -> Callable[..., Any]:
    """A graph function that is traced once per dtype and shape.

    Parameters
    ----------
    fused
        Make few operations of many by XLA: networks of vectors take a fifth less time.
    """
    return tf.function(function, autograph=False, jit_compile=fused)  # type: ignore[no-any-return]


def batches(
    rows: Callable[[npt.NDArray[np.int64]], tuple[npt.NDArray[Any], ...]],
    weights: npt.NDArray[np.float64],
    batch_size: int,
    *,
    seed: int,
    first_step: int,
) -> tf.data.Dataset:
    """Endless batches of randomly drawn rows, prepared while the last one is trained on.

    Parameters
    ----------
    rows
        The arrays of a batch, given the indices of its rows, int64 (batch_size,).
    weights
        float64 (n,), relative frequency of each row.
    batch_size
        Rows per batch, drawn with replacement.
    seed, first_step
        The batch of a step depends on (seed, step) alone.
    """
    edges = np.cumsum(weights) / np.sum(weights)

    def draw(step: int) -> list[npt.NDArray[Any]]:
        points = np.random.default_rng([seed, int(step)]).random(batch_size)
        index = np.minimum(np.searchsorted(edges, points, side="right"), len(edges) - 1)
        return list(rows(index))

    example = draw(first_step)
    types = [tf.as_dtype(array.dtype) for array in example]

    def batch(step: Any) -> tuple[Any, ...]:
        tensors = tf.numpy_function(draw, [step], types)
        return tuple(tf.ensure_shape(t, a.shape) for t, a in zip(tensors, example, strict=True))

    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    return steps.map(batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def spread(n: int) -> npt.NDArray[np.int64]:
    """Eight indices spread evenly over n rows, to show; all where there are no more."""
    return np.linspace(0, n - 1, min(8, n)).astype(np.int64)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Initial weights of networks built in this block depend on the seed alone.

    Keras draws the seeds of its initializers from Python's global generator, which is put
    back as it was.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Networks built in this block compute in the given Keras dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def training_precision(setting: Literal["auto", "float32", "mixed_bfloat16"]) -> str:
    """Keras dtype policy to train in; ``auto`` is bfloat16 where the hardware has it."""
    if setting != "auto":
        return setting
    fast = bool(tf.config.list_physical_devices("GPU")) or _processor_has_bfloat16()
    return "mixed_bfloat16" if fast else "float32"


def _processor_has_bfloat16() -> bool:
    information = Path("/proc/cpuinfo")
    return information.exists() and "avx512_bf16" in information.read_text(errors="replace")
