"""Pictures from preference vectors.

`ConditionalVAE` is the image model, `ImageryConfig` its settings, `Budget` how long it
trains, `Pairs` what it learns from. TensorFlow is imported when `ConditionalVAE` or `Budget`
is first used, not before.
"""

from typing import TYPE_CHECKING

from prodgen_rec._lazy import lazily

if TYPE_CHECKING:
    from prodgen_rec.imagery.condition import Whitening
    from prodgen_rec.imagery.config import ImageryConfig
    from prodgen_rec.imagery.pairs import Pairs, taken_pairs, user_balanced_weights
    from prodgen_rec.imagery.training import Budget
    from prodgen_rec.imagery.vae import ConditionalVAE
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "condition": ["Whitening"],
            "config": ["ImageryConfig"],
            "pairs": ["Pairs", "taken_pairs", "user_balanced_weights"],
            "training": ["Budget"],
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
