"""Pictures from preference vectors.

`ConditionalVAE` is the image model, `ImageryConfig` its settings, `Budget` how long it
trains, `Pairs` what it learns from. TensorFlow is imported when `ConditionalVAE` is first used,
not before.
"""

import os
from typing import TYPE_CHECKING

from prodgen_rec._lazy import lazily

# TensorFlow reads this when it is imported. By itself it takes these kernels only on processors
# with AVX-512; those without train up to twice as fast with them, too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

if TYPE_CHECKING:
    from prodgen_rec.imagery.budget import Budget
    from prodgen_rec.imagery.condition import Whitening
    from prodgen_rec.imagery.config import ImageryConfig
    from prodgen_rec.imagery.pairs import Pairs, taken_pairs, user_balanced_weights
    from prodgen_rec.imagery.vae import ConditionalVAE
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "budget": ["Budget"],
            "condition": ["Whitening"],
            "config": ["ImageryConfig"],
            "pairs": ["Pairs", "taken_pairs", "user_balanced_weights"],
            "vae": ["ConditionalVAE"],
        },
    )

__all__ = [
    "Budget",
    "ConditionalVAE",
    "ImageryConfig",
    "Pairs",
    "Whitening",
    "taken_pairs",
    "user_balanced_weights",
]
