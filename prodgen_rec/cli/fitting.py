"""``fit``: from files to a bundle."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodgen_rec.cli.console import Reporter, counted, listed
from prodgen_rec.cli.inputs import Inputs
from prodgen_rec.cli.outputs import check_folder
from prodgen_rec.cli.settings import read_settings
from prodgen_rec.cli.startup import start_tensorflow

if TYPE_CHECKING:
    from prodgen_rec.personalizer import Personalizer


def fit(
    *,
    events: Path,
    items: Path,
    photos: Path,
    out: Path,
    size: int | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    config: Path | None = None,
    event_weights: str = "",
    inputs: Inputs,
) -> dict[str, Any]:
    """Fit a personalizer and write its bundle; returns what is worth knowing about it."""
    from prodgen_rec.bundle import check_replaceable
    from prodgen_rec.personalizer import Personalizer

    report = inputs.report
    settings = read_settings(config, size=size, event_weights=event_weights)
    place = out.resolve()  # "." has no name to put the checkpoints beside
    check_replaceable(place)
    check_folder(place.parent)
    work = place.with_name(f"{place.name}.training")
    log = inputs.read_log(events, settings)
    size = settings.imagery.size
    catalog = inputs.read_catalog(items, photos, size=size, cache=work / "photos")
    inputs.check_columns_found()
    start_tensorflow(report)
    with report.step("learning preferences and pictures"):
        if any(work.glob("*.npz")):
            report.say(f"  going on from the checkpoints in {work}")
        personalizer = Personalizer(settings, seed=seed).fit(
            log,
            catalog,
            minutes=minutes,
            steps=steps,
            checkpoint_folder=work,
            progress=report.talks,
        )
    with report.step(f"writing {out}"):
        personalizer.save(place)
    shutil.rmtree(work, ignore_errors=True)
    return {"bundle": str(out), "events": asdict(log.report), **_fitted(personalizer, report)}


def _fitted(personalizer: Personalizer, report: Reporter) -> dict[str, Any]:
    """What a fit found; says which items of the log have no photo."""
    found = personalizer.catalog_.report
    unpictured = list(personalizer.without_photo())
    if unpictured:
        report.say(
            f"  {len(unpictured):,} items of the log have no photo: {listed(unpictured)}; "
            "they are recommended, and never pictured"
        )
    logs = personalizer.training_logs()
    return {
        "users": len(personalizer.recommender_.users_),
        "items": found.n_items,
        "photos": found.n_photos,
        "missing_photos": counted(found.missing),
        "broken_photos": counted(found.broken),
        "log_items_without_photo": counted(unpictured),
        "steps": {phase: int(log["step"].iloc[-1]) for phase, log in logs.items()},
    }
