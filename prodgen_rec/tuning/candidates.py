"""What a trial sets: the recommender, the evidence of features, and what events count for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from prodgen_rec.errors import ConfigError
from prodgen_rec.events import Events
from prodgen_rec.interactions import Interactions, interactions_of
from prodgen_rec.preferences import ItemFeatures, Recommender
from prodgen_rec.preferences.space import Range, Space
from prodgen_rec.tuning.evidence import Evidence, EvidenceSpace

AnyRecommender = TypeVar("AnyRecommender", bound=Recommender)

_WEIGHTS = Range(0.05, 50.0)
"""Multiples of the evidence of features."""
_WEIGHT = "weight of "


@dataclass(frozen=True)
class Candidate(Generic[AnyRecommender]):
    """The settings of one trial: a recommender, and what it is fitted with."""

    recommender: AnyRecommender
    features: ItemFeatures | None
    evidence: Evidence

    def fit(self, log: Events | Interactions) -> AnyRecommender:
        """Fit it; ages count from the newest event of the log."""
        return self.recommender.fit(interactions_of(log, *self.evidence), self.features)


class Candidates(Generic[AnyRecommender]):
    """All that a search may set, as names and values.

    Parameters
    ----------
    log
        What is learned from. What its events count for may be set if it has any, and if the
        recommender looks at more than whether net evidence is positive.
    recommender, features, evidence
        What the search starts from.

    Attributes
    ----------
    space
        Names of settings to what they may be.

    Raises
    ------
    ConfigError
        There is nothing to tune.
    """

    def __init__(
        self,
        log: Events | Interactions,
        recommender: AnyRecommender,
        features: Mapping[str, ItemFeatures],
        evidence: Evidence,
    ) -> None:
        self.log, self.recommender, self.features = log, recommender, features
        weighed = log if isinstance(log, Events) and recommender.weighs_evidence else None
        self.evidence = EvidenceSpace(weighed, evidence)
        self._of_model = self._space_of_model(evidence)
        if not self._of_model and not self.evidence.ranges:
            raise ConfigError(f"a {self.name} has nothing to tune")
        of_features = {_WEIGHT + name: _WEIGHTS for name in features}
        self.space: Space = {**self._of_model, **of_features, **self.evidence.ranges}

    @property
    def name(self) -> str:
        """Of the kind of recommender."""
        return type(self.recommender).__name__

    def start(self) -> dict[str, Any]:
        """What the search was given, as far as it lies in the space."""
        given = self._of_recommender() | self.evidence.start()
        given |= {_WEIGHT + name: 1.0 for name in self.features}
        return {name: given[name] for name, values in self.space.items() if given[name] in values}

    def settings(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of what was drawn from the space.

        Where evidence fades, what multiplies it is worth a try at larger values: the ranges of a
        recommender follow from the evidence, and what was drawn moves with them.
        """
        settings = {**drawn, **self.evidence.settings(drawn)}
        if self.evidence.ranges:
            moved = self._space_of_model(self.evidence.of(settings))
            for name, values in self._of_model.items():
                there = moved[name]
                if isinstance(values, Range) and isinstance(there, Range) and values != there:
                    settings[name] *= there.low / values.low
        return settings

    def of(self, settings: Mapping[str, Any]) -> Candidate[AnyRecommender]:
        """The candidate of settings."""
        of_model = {name: settings[name] for name in self._of_model}
        recommender = dataclasses.replace(self.recommender, **of_model)  # type: ignore[type-var]
        features = None
        for name, times in self.weights(settings).items():
            weighted = self.features[name].times(times)
            features = weighted if features is None else features.and_also(weighted)
        return Candidate(recommender, features, self.evidence.of(settings))

    def weights(self, settings: Mapping[str, Any]) -> dict[str, float]:
        """What the evidence of each of the features is multiplied by."""
        return {name: float(settings[_WEIGHT + name]) for name in self.features}

    def fixed(self) -> dict[str, Any]:
        """What the search does not touch, and the weights that it starts from."""
        given = self._of_recommender()
        fixed = {name: value for name, value in given.items() if name not in self.space}
        return fixed | {"event_weights": sorted(self.evidence.given.event_weights.items())}

    def _of_recommender(self) -> dict[str, Any]:
        return dataclasses.asdict(self.recommender)  # type: ignore[call-overload,no-any-return]

    def _space_of_model(self, evidence: Evidence) -> Space:
        return self.recommender.search_space(interactions_of(self.log, *evidence).matrix)
