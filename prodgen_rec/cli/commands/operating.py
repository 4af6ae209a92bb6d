"""Commands for operations: the nightly run, and what it delivers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from prodgen_rec.cli import options
from prodgen_rec.cli.console import Reporter

Place = Annotated[
    str, typer.Argument(help="Where runs are published: a folder or a URL.", metavar="PLACE")
]


def nightly(
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML or JSON file of settings, named as in `NightlySettings`; what is given here "
            "and in the environment comes before it.",
            show_default="none",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle: a folder that `fit` wrote.", show_default="the settings'"),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(
            help="Whole histories of the users to serve: a CSV or Parquet file, a folder of them, "
            "or a glob.",
            metavar="PATH",
            show_default="the settings'",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="Where runs are published: a folder, or any URL that fsspec understands.",
            metavar="PLACE",
            show_default="the settings'",
        ),
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(
            help="File of the items that lists may name, such as those in stock: CSV, Parquet, or "
            "one id a line.",
            metavar="FILE",
            show_default="all",
        ),
    ] = None,
    blocked: Annotated[
        Path | None,
        typer.Option(
            help="File of the items that nobody gets, such as recalled ones; or of pairs, user_id "
            "and item_id, that are not to come together.",
            metavar="FILE",
            show_default="none",
        ),
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option(
            help="Table of what is known of users, a CSV or Parquet file: user_id and the "
            "attributes that the bundle has learned of. Those without a usable history get a "
            "preference by it.",
            metavar="FILE",
            show_default="none",
        ),
    ] = None,
    date: Annotated[
        datetime | None,
        typer.Option(help="The night.", formats=["%Y-%m-%d"], show_default="today, UTC"),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option(help="Name of the run.", show_default="the date")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            help="Serve only users with an event at this time or after it, UTC; their whole "
            "history counts.",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            show_default="all",
        ),
    ] = None,
    n_items: Annotated[
        int | None,
        typer.Option(help="Recommended items per user.", min=1, show_default="4"),
    ] = None,
    n_pictures: Annotated[
        int | None, typer.Option(help="Pictures per user.", min=1, show_default="4")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="The same seed gives the same pictures.", min=0, show_default="0"),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="What makes the parts: `local`, or `spark`; the same bytes. Spark needs "
            "`pip install 'prodgen-rec[spark]'`, Java, and bundle, log and place at paths that "
            "all its machines see.",
            show_default="local",
        ),
    ] = None,
    master: Annotated[
        str | None,
        typer.Option(help="Master of Spark.", metavar="URL", show_default="local[*,4]"),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(help="Runs that are kept.", min=1, show_default="7")
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Publish whatever the quality gate says.")
    ] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Publish a run without users.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what the run would be, and how long it would take; no more."
        ),
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option(
            help="File that lines of JSON are appended to: stages, parts, errors.",
            show_default="none",
        ),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            help="File of metrics for Prometheus, .prom; also written where the run fails.",
            show_default="none",
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Page on the run, .html: counts, time, cost, scores, pictures of some users.",
            show_default="none",
        ),
    ] = None,
    core_hour_price: Annotated[
        float | None,
        typer.Option(
            help="Price of a CPU for an hour, for the cost on the page.",
            show_default="none",
            callback=options.positive,
        ),
    ] = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    r"""Make pictures for all users of a log, and publish them in one step.

    Killed at any instant, the same command goes on where it stopped, and readers see the last run
    or this one, whole. Run again when it is done, it changes nothing.

    Exit codes beside the usual ones: 8 nobody is due, 9 the quality gate holds the run back,
    10 another process writes there, 11 what is published there cannot be used.

    Example:

        prodgen-rec nightly --bundle shop.bundle --events log.csv --to pictures/
    """
    from prodgen_rec.cli import operating
    from prodgen_rec.cli.telling import Told

    recipe = {
        "since": since.replace(tzinfo=UTC) if since else None,
        "n_items": n_items,
        "n_pictures": n_pictures,
        "seed": seed,
    }
    values = {
        "bundle": bundle,
        "events": events,
        "to": to,
        "candidates": candidates,
        "blocked": blocked,
        "users": users,
        "date": date.date() if date else None,
        "run_id": run_id,
        "recipe": {name: value for name, value in recipe.items() if value is not None} or None,
        "engine": engine,
        "master": master,
        "keep": keep,
        "accept": accept or None,
        "allow_empty": allow_empty or None,
    }
    given = {name: value for name, value in values.items() if value is not None}
    report = Reporter(as_json=as_json, quiet=quiet)
    if dry_run:
        report.result(*operating.forecast(config, given, report))
    else:
        told = Told(log, metrics, page, core_hour_price)
        report.result(*operating.nightly(config, given, told, report))


delivery = typer.Typer(
    help="Look at what nightly runs have published, verify it, go back, forget a user.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@delivery.command()
def show(place: Place, as_json: options.AsJson = False) -> None:
    """Say which runs there are, and which one is published.

    Example:

        prodgen-rec delivery show pictures/
    """
    from prodgen_rec.cli import operating

    Reporter(as_json=as_json).result(*operating.show(place))


@delivery.command()
def verify(place: Place, as_json: options.AsJson = False) -> None:
    """Compare all that lies there with what was written; exit code 11 where they differ.

    Example:

        prodgen-rec delivery verify pictures/
    """
    from prodgen_rec.cli import operating

    Reporter(as_json=as_json).result(*operating.verify(place))


@delivery.command()
def rollback(
    place: Place,
    to: Annotated[
        str | None, typer.Option(help="Name of the run.", show_default="the one before")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Publish an older run again, after verifying it.

    Example:

        prodgen-rec delivery rollback pictures/
    """
    from prodgen_rec.cli import operating

    Reporter(as_json=as_json).result(*operating.rollback(place, to))


@delivery.command()
def delta(
    place: Place,
    table: Annotated[str, typer.Option(help="Path or URL of the Delta table.", metavar="TABLE")],
    as_json: options.AsJson = False,
) -> None:
    """Copy what is published to a Delta table, in one commit; again, it changes nothing.

    Example:

        prodgen-rec delivery delta pictures/ --table pictures.delta
    """
    from prodgen_rec.cli import operating

    Reporter(as_json=as_json).result(*operating.delta(place, table))


@delivery.command()
def forget_user(
    place: Place,
    user: Annotated[str, typer.Option(help="Id of the user.", metavar="ID")],
    table: Annotated[
        str | None,
        typer.Option(
            "--delta",
            help="Delta table to delete the user from, too; older versions of it hold the user "
            "until they are vacuumed.",
            metavar="TABLE",
            show_default="none",
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove a user from every kept run, and prove it by reading all of them again.

    Example:

        prodgen-rec delivery forget-user pictures/ --user user-00001
    """
    from prodgen_rec.cli import operating

    Reporter(as_json=as_json).result(*operating.forget_user(place, user, table))
