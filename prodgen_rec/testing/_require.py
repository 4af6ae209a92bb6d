"""How the contract checks complain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from prodgen_rec.errors import ProdgenError


def require(condition: bool | np.bool_, text: str) -> None:
    """Raise an AssertionError with a text unless a condition holds."""
    if not condition:
        raise AssertionError(text)


def require_refusal(error: type[ProdgenError], mention: str, call: Callable[[], Any]) -> None:
    """Raise an AssertionError unless a call raises an error whose text mentions something."""
    expected = f"expected {error.__name__} mentioning {mention!r}"
    try:
        call()
    except Exception as refusal:
        require(isinstance(refusal, error) and mention in str(refusal), f"{expected}: {refusal!r}")
    else:
        raise AssertionError(f"{expected}, but nothing was raised")
