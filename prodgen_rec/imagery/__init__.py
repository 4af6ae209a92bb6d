"""Pictures from preference vectors.

`ConditionalVAE` is the image model, `ImageryConfig` its settings, `Budget` how long it
trains, `Pairs` what it learns from, `Exemplars` the photos that pictures may start from.
`kernel_of` lets a faster library compute a trained model, `PictureEncoder` makes files of pictures.
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
    from prodgen_rec.imagery.encoding import PictureEncoder
    from prodgen_rec.imagery.exemplars import Exemplars
    from prodgen_rec.imagery.gan import DCGAN, ConditionalGAN
    from prodgen_rec.imagery.kernels import kernel_of
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
            "encoding": ["PictureEncoder"],
            "exemplars": ["Exemplars"],
            "gan": ["DCGAN", "ConditionalGAN"],
            "kernels": ["kernel_of"],
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
    "PictureEncoder",
    "PlainCVAE",
    "PlainVAE",
    "PlainVAEConfig",
    "Whitening",
    "kernel_of",
    "taken_pairs",
    "user_balanced_weights",
]
