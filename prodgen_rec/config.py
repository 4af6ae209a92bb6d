"""Settings of the personalizer, as code and as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from prodgen_rec.columns import EVENT_WEIGHTS
from prodgen_rec.errors import ConfigError
from prodgen_rec.imagery import ImageryConfig
from prodgen_rec.imagery.pairs import LearnedFrom
from prodgen_rec.preferences import ALS


class PreferencesConfig(BaseModel):
    """Settings of the recommender, see `ALS`.

    ``alpha`` is per unit of evidence, and one purchase weighs 5 by default; None fits it to the
    data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    factors: int = ALS.factors
    regularization: float = 10.0
    alpha: float | None = 4.0
    iterations: int = ALS.iterations
    frequency_scaling: float = ALS.frequency_scaling

    @model_validator(mode="after")
    def _as_the_recommender_takes_them(self) -> Self:
        self.recommender(seed=0)
        return self

    def recommender(self, *, seed: int) -> ALS:
        """The recommender with these settings; not fitted."""
        return ALS(**self.model_dump(), seed=seed)


class PersonalizerConfig(BaseModel):
    """Settings of `Personalizer`.

    Attributes
    ----------
    event_weights
        Evidence of one event by name; its keys are the events that a log may hold.
    half_life_days
        Days after which an event counts half; None for no decay.
    learned_from
        Vectors that the image model learns from, at least one: ``full``, ``leave_one_out``,
        ``subset``, ``item``; see `prodgen_rec.imagery.taken_pairs`.
    attributes
        Columns of the catalogue that pictures can be asked for beside the preference, such as a
        type or a color; each of at most 512 values.
    item_features
        Columns of the catalogue whose values bring items near to each other, such as a product
        of several colors or a department, and the evidence that an item has its value, in units
        of ``event_weights``; see `ItemFeatures`. With any, every item of the catalogue can be
        recommended, also one that nobody took yet.
    preferences, imagery
        Settings of the two halves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_weights: dict[str, float] = Field(default_factory=lambda: dict(EVENT_WEIGHTS))
    half_life_days: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    learned_from: tuple[LearnedFrom, ...] = Field(default=("full",), min_length=1)
    attributes: tuple[str, ...] = ()
    item_features: dict[str, float] = Field(default_factory=dict)
    preferences: PreferencesConfig = PreferencesConfig()
    imagery: ImageryConfig = ImageryConfig()

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> PersonalizerConfig:
        """Settings from nested plain values, as a TOML or JSON file holds them.

        Raises
        ------
        ConfigError
            Names the first setting that is unknown or out of range, and what was expected.
        """
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise ConfigError(
                f"setting {name} = {first['input']!r}: {first['msg'].lower()}; "
                f"the sections and settings are those of {cls.__name__}"
            ) from error
