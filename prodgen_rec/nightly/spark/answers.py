"""What tasks say to the process that gave them: a value, or the error that there is none."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter
from pyspark.errors import PySparkException

from prodgen_rec import errors
from prodgen_rec.errors import ProdgenError

Value = TypeVar("Value")
_VALUE: Final = "value"
_ERROR: Final = "error"


def packed(answer: Any) -> bytes:
    """JSON of a value, or of the error that would be the same at every try.

    Parameters
    ----------
    answer
        A document or dataclass of JSON values, or an error of this library.
    """
    if isinstance(answer, ProdgenError):
        told = {_ERROR: type(answer).__name__, "message": str(answer)}
    else:
        told = {_VALUE: TypeAdapter(type(answer)).dump_python(answer, mode="json")}
    return json.dumps(told).encode()


def unpacked(answer: bytes, kind: type[Value]) -> Value:
    """The value in an answer, of the type that was packed; its error is raised."""
    told = json.loads(answer)
    if _ERROR in told:
        cause: type[ProdgenError] = getattr(errors, told[_ERROR])
        # Not by its constructor: some make their message of other words.
        error = cause.__new__(cause, told["message"])
        raise error
    return TypeAdapter(kind).validate_python(told[_VALUE])


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
