"""Settings of image models that are trained in seconds."""

from __future__ import annotations

from typing import Any

PLAIN: dict[str, Any] = {
    "n_blocks": 0,
    "latent_side": 4,
    "kl_weight": 1e-3,
    "perceptual_weight": 0.0,
    "mirror": False,
    "flow_steps": 8,
    "likeness": 0.0,
    "familiarity": 1.0,
    "prior_batch_size": 128,
    "refinement_share": 0.0,
    "sharpening_share": 0.0,
}
"""Neither exemplars nor losses that take long: what a test wants of these, it switches on."""
