"""Pictures from preference vectors.

`ConditionalVAE` is the image model, `ImageryConfig` its settings, `Budget` how long it
trains, `Pairs` what it learns from. TensorFlow is imported when one of the first three is
used, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prodgen_rec.imagery.condition import Pairs, Whitening, user_balanced_weights
from prodgen_rec.imagery.config import ImageryConfig

if TYPE_CHECKING:
    from prodgen_rec.imagery.training import Budget
    from prodgen_rec.imagery.vae import ConditionalVAE

__all__ = [
    "Budget",
    "ConditionalVAE",
    "ImageryConfig",
    "Pairs",
    "Whitening",
    "user_balanced_weights",
]


def __getattr__(name: str) -> Any:
    if name == "Budget":
        from prodgen_rec.imagery.training import Budget

        return Budget
    if name == "ConditionalVAE":
        from prodgen_rec.imagery.vae import ConditionalVAE

        return ConditionalVAE
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
