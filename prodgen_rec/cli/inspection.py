"""``inspect``: what a log says before any model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prodgen_rec.cli.console import as_json
from prodgen_rec.cli.inputs import Inputs
from prodgen_rec.cli.outputs import check_folder
from prodgen_rec.cli.settings import read_settings

_PAGE, _FIGURES = "index.html", "behavior.json"
_SIZE = 64
"""Pixels of the photos on the page."""


def inspect(
    *,
    events: Path,
    out: Path,
    items: Path | None = None,
    photos: Path | None = None,
    attributes: str = "",
    period_days: float | None = None,
    gap_minutes: float = 30.0,
    event_weights: str = "",
    inputs: Inputs,
) -> tuple[Path, dict[str, Any]]:
    """Write a page and its figures to a folder; returns the page and the figures."""
    from prodgen_rec.display.behavior_report import behavior_report
    from prodgen_rec.storage import atomic_file

    check_folder(out)
    settings = read_settings(None, size=None, event_weights=event_weights)
    log, catalog = inputs.read_log(events, settings), None
    if items is not None:
        catalog = inputs.read_catalog(items, photos, size=_SIZE, max_missing_fraction=1.0)
    inputs.check_columns_found()
    with inputs.report.step("counting"):
        found = behavior_report(
            log,
            catalog,
            event_weights=settings.event_weights,
            attributes=[name.strip() for name in attributes.split(",")] if attributes else None,
            period_days=period_days,
            gap_minutes=gap_minutes,
        )
        for what, text in found.summary.items():
            inputs.report.say(f"  {what}: {text}")
    page = found.write(out / _PAGE)
    with atomic_file(out / _FIGURES) as temporary:
        temporary.write_text(as_json(found.figures, indent=1) + "\n", encoding="utf-8")
    return page, found.figures
