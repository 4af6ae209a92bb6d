"""Commands that start from a log: what it says, and what is learned from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prodgen_rec.cli import options
from prodgen_rec.cli.console import Reporter
from prodgen_rec.cli.inputs import Inputs


def inspect(
    events: options.Events,
    out: Annotated[Path, typer.Option(help="Folder to write to: index.html, behavior.json.")],
    items: Annotated[
        Path | None,
        typer.Option(
            help="Item table: adds how much of the log it knows, and groups of like tastes.",
            show_default="none",
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="Photos of the items, as `fit` takes them.", show_default="none"),
    ] = None,
    attributes: Annotated[
        str,
        typer.Option(
            help="Columns of the item table that describe items, such as `type,color`.",
            metavar="NAME,…",
            show_default="the first few of 2 to 60 different words",
        ),
    ] = "",
    period_days: Annotated[
        float | None,
        typer.Option(
            help="Length in days of the periods that are compared.",
            show_default="1, 7 or 30, by the length of the log",
            callback=options.positive,
        ),
    ] = None,
    gap_minutes: Annotated[
        float,
        typer.Option(help="Pause in minutes that ends a session.", callback=options.positive),
    ] = 30.0,
    columns: options.Columns = "",
    event_weights: options.EventWeights = "",
    max_bad_fraction: options.MaxBad = 0.05,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    r"""Show what a log says, before any model, as one web page.

    How far interest goes, what a visit looks like, who comes back, how unequal items are, how the
    shop changes. The page is a single file that asks nothing of the network; `behavior.json`
    holds its figures.

    Example:

        prodgen-rec inspect --events log.csv --items items.csv \
            --photos photos/ --out behavior/
    """
    from prodgen_rec.cli import inspection

    options.check_photos(items, photos)
    report = Reporter(as_json=as_json, quiet=quiet)
    page, figures = inspection.inspect(
        events=events,
        out=out,
        items=items,
        photos=photos,
        attributes=attributes,
        period_days=period_days,
        gap_minutes=gap_minutes,
        event_weights=event_weights,
        inputs=Inputs(columns, max_bad_fraction, report),
    )
    report.result(figures, str(page))


def tune(
    events: options.Events,
    out: Annotated[
        Path,
        typer.Option(help="File of settings to write, .toml or .json, as `fit` reads it."),
    ],
    config: options.Config = None,
    items: Annotated[
        Path | None,
        typer.Option(
            help="Item table, if the settings name `item_features`: how much these say is "
            "searched for, too.",
            show_default="none",
        ),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(
            help="Settings to try at most; 20 in a row that are no better end the search.", min=1
        ),
    ] = 50,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Minutes after which no other settings are tried.",
            show_default="no limit",
            callback=options.positive,
        ),
    ] = None,
    holdouts: Annotated[
        int,
        typer.Option(
            help="Hold-outs that settings are judged on, each with a fit of its own: on a small "
            "log, three find what is not best by luck alone.",
            min=1,
        ),
    ] = 3,
    k: Annotated[int, typer.Option(help="Length of the lists that are judged.", min=1)] = 20,
    seed: options.Seed = 0,
    columns: options.Columns = "",
    event_weights: options.EventWeights = "",
    max_bad_fraction: options.MaxBad = 0.05,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    r"""Find settings of the preferences for a log, and write them for `fit`.

    Settings are judged by lists for users, learned from what lies before a moment: they should
    hold what users took after it. What is written are those of `--config` with the best
    `preferences`, `half_life_days` and `event_weights`; a file with others is not overwritten. All
    trials stay in a file beside it, whose name ends in `.trials`: after Ctrl-C, or with more
    `--trials`, the same command goes on. Needs `pip install 'prodgen-rec[tune]'`.

    Example:

        prodgen-rec tune --events log.csv --config settings.toml \
            --out tuned.toml --trials 50
    """
    from prodgen_rec.cli import tuning

    report = Reporter(as_json=as_json, quiet=quiet)
    found = tuning.tune(
        events=events,
        out=out,
        config=config,
        items=items,
        trials=trials,
        minutes=minutes,
        holdouts=holdouts,
        k=k,
        seed=seed,
        event_weights=event_weights,
        inputs=Inputs(columns, max_bad_fraction, report),
    )
    report.result(found, str(out))


def fit(
    events: options.Events,
    items: options.Items,
    photos: options.Photos,
    out: Annotated[
        Path,
        typer.Option(help="Bundle to write: a folder; a bundle that stands there is replaced."),
    ],
    size: options.Size = None,
    minutes: options.Minutes = None,
    steps: options.Steps = None,
    seed: options.Seed = 0,
    config: options.Config = None,
    columns: options.Columns = "",
    event_weights: options.EventWeights = "",
    max_bad_fraction: options.MaxBad = 0.05,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    r"""Learn preferences and pictures from a log, an item table and photos.

    Ctrl-C, SIGTERM or a crash lose little: the same command goes on from the last checkpoint. Until
    the bundle is written, checkpoints stand beside it, in a folder that ends in `.training`.

    Example:

        prodgen-rec fit --events log.csv --items items.csv \
            --photos photos/ --out shop.bundle --minutes 20
    """
    from prodgen_rec.cli import fitting

    options.check_budget(minutes, steps)
    report = Reporter(as_json=as_json, quiet=quiet)
    made = fitting.fit(
        events=events,
        items=items,
        photos=photos,
        out=out,
        size=size,
        minutes=minutes,
        steps=steps,
        seed=seed,
        config=config,
        event_weights=event_weights,
        inputs=Inputs(columns, max_bad_fraction, report),
    )
    report.result(made, str(out))
