"""Commands to judge by: figures and pages about a bundle, a demo, the installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prodgen_rec.cli import options
from prodgen_rec.cli.console import NOT_INSTALLED, Reporter
from prodgen_rec.cli.inputs import Inputs


def evaluate(
    bundle: options.Bundle,
    events: Annotated[
        Path, typer.Option(help="Log up to the hold-out: the histories to serve users from.")
    ],
    holdout: Annotated[Path, typer.Option(help="Log that was held out: what users went on to do.")],
    out: Annotated[
        Path, typer.Option(help="Folder to write to: metrics.json, tables, sheets of pictures.")
    ],
    truth: options.Truth = None,
    max_users: Annotated[
        int, typer.Option(help="Users whose pictures are judged, drawn by the seed.", min=1)
    ] = 2000,
    seed: options.Seed = 0,
    guidance: options.Guidance = None,
    columns: options.Columns = "",
    max_bad_fraction: options.MaxBad = 0.05,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    r"""Measure recommendations and pictures against held-out events.

    Ranking over the full catalogue beside popularity, and how well pictures match their users
    beside real pictures under the same judge; every figure with a 95 % interval.

    Example:

        prodgen-rec evaluate --bundle shop.bundle --events train.csv \
            --holdout test.csv --out evaluation/
    """
    from prodgen_rec.cli import reports

    report = Reporter(as_json=as_json, quiet=quiet)
    metrics = reports.evaluate(
        bundle=bundle,
        events=events,
        holdout=holdout,
        out=out,
        truth=truth,
        max_users=max_users,
        seed=seed,
        guidance=guidance,
        inputs=Inputs(columns, max_bad_fraction, report),
    )
    report.result(metrics, str(out / "metrics.json"))


def gallery(
    bundle: options.Bundle,
    events: options.Events,
    out: Annotated[Path, typer.Option(help="Folder to write to: index.html.")],
    users: options.Users = "all",
    max_users: Annotated[
        int, typer.Option(help="Users to show: the first of those asked for.", min=1)
    ] = 24,
    n: Annotated[int, typer.Option(help="Pictures of each kind per user.", min=1)] = 6,
    seed: options.Seed = 0,
    guidance: options.Guidance = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Pictures for every shopper",
    columns: options.Columns = "",
    max_bad_fraction: options.MaxBad = 0.05,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    r"""Show users' histories, recommendations and imagined pictures as one web page.

    The page is a single file that opens from disk and asks nothing of the network.

    Example:

        prodgen-rec gallery --bundle shop.bundle --events log.csv \
            --out gallery/
    """
    from prodgen_rec.cli import reports

    report = Reporter(as_json=as_json, quiet=quiet)
    page = reports.gallery(
        bundle=bundle,
        events=events,
        out=out,
        users=users,
        max_users=max_users,
        n=n,
        seed=seed,
        guidance=guidance,
        title=title,
        inputs=Inputs(columns, max_bad_fraction, report),
    )
    report.result({"page": str(page)}, str(page))


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write everything to.")] = Path("demo"),
    items: Annotated[int, typer.Option(help="Items of the shop.", min=12)] = 1200,
    users: Annotated[int, typer.Option(help="Users of the shop.", min=1)] = 1500,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Training time of the image model, in minutes.",
            show_default="2",
            callback=options.positive,
        ),
    ] = None,
    steps: options.Steps = None,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
) -> None:
    r"""Make a small synthetic shop and run everything on it.

    Writes the shop's files, fits, recommends, imagines, evaluates against the tastes that were
    planted, and prints the path of a gallery page. Takes about four minutes on two cores.

    Example:

        prodgen-rec demo --out demo/ --minutes 2
    """
    from prodgen_rec.cli import demo as the_demo

    options.check_budget(minutes, steps)
    if minutes is None and steps is None:
        minutes = 2.0
    report = Reporter(quiet=quiet)
    page = the_demo.run(
        out, items=items, users=users, minutes=minutes, steps=steps, seed=seed, report=report
    )
    report.result({}, str(page))


def doctor(as_json: options.AsJson = False) -> None:
    """Tell what this installation has: versions, cores, free memory, extras.

    Exit code 6 if something that is always needed is missing or too old.

    Example:

        prodgen-rec doctor --json
    """
    from prodgen_rec.cli.doctor import as_text, examine

    found = examine()
    Reporter(as_json=as_json).result(found, as_text(found))
    if found["problems"]:
        raise typer.Exit(NOT_INSTALLED)
