"""Pictures from preference vectors.

`ConditionalVAE` is the image model, `ImageryConfig` its settings, `Budget` how long it
trains, `Pairs` what it learns from, `Exemplars` the photos that pictures may start from.
`PlainVAE`, `PlainCVAE`, `DCGAN` and `ConditionalGAN` are the
baselines that it is measured against; all of them are an `ImageModel`. TensorFlow is imported
when a model is first used, not before.
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
    from prodgen_rec.imagery.config import GANConfig, ImageryConfig, PlainVAEConfig
    from prodgen_rec.imagery.exemplars import Exemplars
    from prodgen_rec.imagery.gan import DCGAN, ConditionalGAN
    from prodgen_rec.imagery.model import ImageModel
    from prodgen_rec.imagery.pairs import Pairs, taken_pairs, user_balanced_weights
    from prodgen_rec.imagery.plain_vae import PlainCVAE, PlainVAE
    from prodgen_rec.imagery.vae import ConditionalVAE
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "budget": ["Budget"],
            "condition": ["Whitening"],
            "config": ["GANConfig", "ImageryConfig", "PlainVAEConfig"],
            "exemplars": ["Exemplars"],
            "gan": ["DCGAN", "ConditionalGAN"],
            "model": ["ImageModel"],
            "pairs": ["Pairs", "taken_pairs", "user_balanced_weights"],
            "plain_vae": ["PlainCVAE", "PlainVAE"],
            "vae": ["ConditionalVAE"],
        },
    )

__all__ = [
    "DCGAN",
    "Budget",
    "ConditionalGAN",
    "ConditionalVAE",
    "Exemplars",
    "GANConfig",
    "ImageModel",
    "ImageryConfig",
    "Pairs",
    "PlainCVAE",
    "PlainVAE",
    "PlainVAEConfig",
    "Whitening",
    "taken_pairs",
    "user_balanced_weights",
]
