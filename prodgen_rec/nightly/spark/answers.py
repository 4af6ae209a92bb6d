"""What tasks say to the process that gave them: a value, or the error that there is none."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.errors import PySparkException

from prodgen_rec.errors import ProdgenError


def packed(answer: Any) -> bytes:
    """A value, or the error that would be the same at every try; others are raised in the task."""
    return pickle.dumps(answer)


def unpacked(answer: bytes) -> Any:
    """The value in an answer; its error is raised."""
    value = pickle.loads(answer)  # noqa: S301  # what a task of ours packed
    if isinstance(value, ProdgenError):
        raise value
    return value


@contextmanager
def gave_up() -> Iterator[None]:
    """Turn what Spark says of a job that failed at every try into an error of the system."""
    try:
        yield
    except PySparkException as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        told = [line for line in lines if "Error: " in line or "Exception: " in line]
        raise OSError(
            errno.EIO,
            f"Spark gave up: {(told or lines or ['no reason is known'])[-1]}; what is published is "
            "intact: see its logs, and run again to go on from the last finished part",
        ) from error
