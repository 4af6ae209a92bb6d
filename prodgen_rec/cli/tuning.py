"""``tune``: settings of the preferences, found on a log and written for ``fit``."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodgen_rec.cli.console import Reporter
from prodgen_rec.cli.inputs import Inputs
from prodgen_rec.cli.settings import check_settings_file, read_settings, write_settings
from prodgen_rec.columns import TIMESTAMP
from prodgen_rec.errors import ConfigError

if TYPE_CHECKING:
    from prodgen_rec.config import PersonalizerConfig
    from prodgen_rec.events import Events
    from prodgen_rec.interactions import Interactions
    from prodgen_rec.preferences import ALS, ItemFeatures
    from prodgen_rec.tuning import Tuned

_FOUND = ("factors", "regularization", "alpha", "frequency_scaling")
_N_TOLD = 5
"""Trials that are shown, the best first."""


def tune(
    *,
    events: Path,
    out: Path,
    items: Path | None = None,
    config: Path | None = None,
    trials: int = 50,
    minutes: float | None = None,
    holdouts: int = 3,
    k: int = 20,
    seed: int = 0,
    event_weights: str = "",
    inputs: Inputs,
) -> dict[str, Any]:
    """Search for the settings of the preferences and write them; returns what was found."""
    from prodgen_rec.tuning import check_installed
    from prodgen_rec.tuning import tune as search

    check_installed()
    report = inputs.report
    settings = read_settings(config, size=None, event_weights=event_weights)
    check_settings_file(out, config, settings, _names_found(settings))
    features = _features(items, settings, inputs)
    log, evidence = _log(inputs.read_log(events, settings), settings, report)
    inputs.check_columns_found()
    kept = out.with_name(f"{out.name}.trials")
    out.parent.mkdir(parents=True, exist_ok=True)
    with report.step(f"trying up to {trials} settings; each stays in {kept}"):
        tuned = search(
            log,
            settings.preferences.recommender(seed=seed),
            **evidence,
            features=features,
            n_trials=trials,
            minutes=math.inf if minutes is None else minutes,
            k=k,
            n_holdouts=holdouts,
            seed=seed,
            file=kept,
            progress=report.talks,
        )
        report.say(_as_text(tuned, k))
    n_trials = len(tuned.trials)
    better = _with_found(settings, tuned)
    note = f"nDCG@{k} {tuned.value:.4f} on items held out; best of {n_trials} trials by"
    write_settings(out, better, f"{note} prodgen-rec tune.")
    return {
        "out": str(out),
        f"ndcg@{k}": tuned.value,
        "preferences": better.preferences.model_dump(mode="json"),
        "item_features": better.item_features,
        "event_weights": better.event_weights,
        "half_life_days": better.half_life_days,
        "trials": tuned.trials.to_dict("records"),
    }


def _log(
    events: Events, settings: PersonalizerConfig, report: Reporter
) -> tuple[Events | Interactions, dict[str, Any]]:
    """A log and its evidence as a search takes them: interactions where there is but one moment."""
    from prodgen_rec.interactions import interactions_of

    evidence: dict[str, Any] = {
        "event_weights": settings.event_weights, "half_life_days": settings.half_life_days
    }  # fmt: skip
    moments = events.numbers(TIMESTAMP)
    if moments.min() < moments.max():
        return events, evidence
    report.say(
        "  all events are of one moment: what is held out is drawn, and half_life_days and "
        "event_weights stay as they are"
    )
    return interactions_of(events, **evidence), {}


def _names_found(settings: PersonalizerConfig) -> set[str]:
    """Full names of the settings that a search may change."""
    weights = settings.event_weights
    strongest = max(weights, key=lambda name: weights[name])
    return {
        "half_life_days",
        *(f"preferences.{name}" for name in _FOUND),
        *(f"item_features.{name}" for name in settings.item_features),
        *(f"event_weights.{name}" for name in weights if name != strongest and weights[name] > 0),
    }


def _features(
    items: Path | None, settings: PersonalizerConfig, inputs: Inputs
) -> dict[str, ItemFeatures]:
    """Features of items by name, where the settings have any."""
    from prodgen_rec.preferences import ItemFeatures

    named = settings.item_features
    if items is None:
        if named:
            raise ConfigError(
                f"the settings have item_features, {', '.join(named)}, which are columns of the "
                "item table; give --items, too"
            )
        return {}
    if not named:
        raise ConfigError(
            "--items: the settings have no item_features, so that the search would not look at "
            "items; name columns there, in a file for --config, or leave --items out"
        )
    size = settings.imagery.size
    catalog = inputs.read_catalog(items, None, size=size, max_missing_fraction=1.0)
    return {
        name: ItemFeatures.of_columns(catalog.items, catalog.attributes, {name: weight})
        for name, weight in named.items()
    }


def _with_found(settings: PersonalizerConfig, tuned: Tuned[ALS]) -> PersonalizerConfig:
    """The same settings with those that were found."""
    from prodgen_rec.config import PersonalizerConfig

    said = settings.model_dump(exclude_unset=True)
    found = {name: getattr(tuned.recommender, name) for name in _FOUND}
    said["preferences"] = said.get("preferences", {}) | found
    for name, times in tuned.weights.items():
        said["item_features"][name] *= times
    if tuned.event_weights:
        said["half_life_days"] = tuned.half_life_days
    if tuned.event_weights not in ({}, settings.event_weights):
        said["event_weights"] = tuned.event_weights
    return PersonalizerConfig.parse(said)


def _as_text(tuned: Tuned[ALS], k: int) -> str:
    """The best trials as a table for people, two spaces from the left."""
    best = tuned.trials.nlargest(_N_TOLD, "value")
    best.insert(0, f"nDCG@{k}", best.pop("value"))
    best.insert(0, "trial", best.index + 1)
    table = best.to_string(index=False, float_format="{:.4g}".format)
    told = f"the best {len(best)} of {len(tuned.trials)} trials:\n{table}"
    return textwrap.indent(told, "  ")
