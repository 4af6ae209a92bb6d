"""Small image models for the tests, trained once per session."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, Self

from settings import PLAIN

from prodgen_rec.imagery import Budget, ConditionalVAE, ImageryConfig
from prodgen_rec.testing.images import planted_world

Prior = Literal["flow", "gaussian"]


def small_config(prior: Prior, **settings: Any) -> ImageryConfig:
    small = PLAIN | {
        "size": 16,
        "width": 8,
        "latent_channels": 4,
        "prior": prior,
        "prior_width": 64,
        "prior_depth": 2,
        "flow_steps": 4,
        "learning_rate": 8e-3,
        "batch_size": 16,
        "prior_share": 0.5,
        "precision": "float32",
    }
    return ImageryConfig(**small | settings)


class Small(ConditionalVAE):
    """A model of the planted world; all of them share one long training."""

    prior: Prior = "gaussian"
    shared_from = 100

    def __init__(self, config: ImageryConfig | None = None, *, seed: int = 3) -> None:
        super().__init__(config or small_config(self.prior), seed=seed)

    def fit(self, photos: Any, pairs: Any, budget: Budget, **options: Any) -> Self:
        if budget.steps < self.shared_from:
            return super().fit(photos, pairs, budget, **options)
        self._check_photos(photos)
        pairs.check_photo_rows(len(photos))
        vars(self).update(vars(_trained(self.prior, budget.steps, self.seed)))
        return self


class SmallFlow(Small):
    prior = "flow"


class Shared(Small):
    """One that shares short trainings too."""

    shared_from = 0


def trained(prior: Prior) -> ConditionalVAE:
    """The model that all tests of a prior share; not to be changed."""
    return _trained(prior, 600, 3)


@lru_cache
def _trained(prior: Prior, n_steps: int, seed: int) -> ConditionalVAE:
    photos, pairs = planted_world()
    model = ConditionalVAE(small_config(prior), seed=seed)
    return model.fit(photos, pairs, Budget(steps=n_steps), progress=False)
