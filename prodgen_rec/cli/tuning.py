"""``tune``: settings of the preferences, found on a log and written for ``fit``."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodgen_rec.cli.inputs import Inputs
from prodgen_rec.cli.settings import check_settings_file, read_settings, write_settings
from prodgen_rec.errors import ConfigError

if TYPE_CHECKING:
    from prodgen_rec.config import PersonalizerConfig
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
    from prodgen_rec.personalizer import Personalizer
    from prodgen_rec.tuning import check_installed
    from prodgen_rec.tuning import tune as search

    check_installed()
    report = inputs.report
    settings = read_settings(config, size=None, event_weights=event_weights)
    found = {f"preferences.{name}" for name in _FOUND}
    found |= {f"item_features.{name}" for name in settings.item_features}
    check_settings_file(out, config, settings, found)
    features = _features(items, settings, inputs)
    history = inputs.read_history(events, Personalizer(settings, seed=seed))
    inputs.check_columns_found()
    kept = out.with_name(f"{out.name}.trials")
    out.parent.mkdir(parents=True, exist_ok=True)
    with report.step(f"trying up to {trials} settings; each stays in {kept}"):
        tuned = search(
            history,
            settings.preferences.recommender(seed=seed),
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
        "trials": tuned.trials.to_dict("records"),
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
    return PersonalizerConfig.parse(said)


def _as_text(tuned: Tuned[ALS], k: int) -> str:
    """The best trials as a table for people, two spaces from the left."""
    best = tuned.trials.nlargest(_N_TOLD, "value")
    best.insert(0, f"nDCG@{k}", best.pop("value"))
    best.insert(0, "trial", best.index + 1)
    table = best.to_string(index=False, float_format="{:.4g}".format)
    told = f"the best {len(best)} of {len(tuned.trials)} trials:\n{table}"
    return textwrap.indent(told, "  ")
