"""The commands: each reads its options, calls the library, and says what came out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from prodgen_rec._version import __version__
from prodgen_rec.cli import options
from prodgen_rec.cli.console import INTERRUPTED, NOT_INSTALLED, Reporter, exit_code, explain
from prodgen_rec.cli.inputs import Inputs

app = typer.Typer(
    name="prodgen-rec",
    help="From shop behaviour logs to recommendations and personalized product pictures.\n\n"
    "Start with `prodgen-rec demo`, which makes a small shop and runs everything on it. On your "
    "own shop: `inspect` the log, `fit` once, then `recommend` and `imagine` for users, "
    "`evaluate` on held-out events, `gallery` to look at the pictures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Exit codes: 0 done, 2 wrong usage, 3 refused input, 4 bundle, 5 training diverged, "
    "6 something is not installed, 7 files or disk, 130 interrupted.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``prodgen-rec``: errors that a user can mend end in one sentence.

    Parameters
    ----------
    arguments
        Words after the program's name; None takes those of the process.

    Raises
    ------
    SystemExit
        Always; its code is one of those that the module names.
    """
    try:
        app(args=arguments, prog_name="prodgen-rec")
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            print(f"error: {explain(KeyboardInterrupt())}", file=sys.stderr)
        raise
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
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


@app.command()
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
    from prodgen_rec.cli import serving

    options.check_budget(minutes, steps)
    report = Reporter(as_json=as_json, quiet=quiet)
    made = serving.fit(
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


@app.command()
def recommend(
    bundle: options.Bundle,
    events: options.Events,
    out: Annotated[
        Path, typer.Option(help="Parquet file to write: user_id, rank, item_id, score.")
    ],
    users: options.Users = "all",
    n: Annotated[int, typer.Option(help="Items per user.", min=1)] = 20,
    columns: options.Columns = "",
    cold: options.ColdUsers = options.Cold.POPULAR,
    max_bad_fraction: options.MaxBad = 0.05,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    r"""Write the best items of each user, by the history in `--events`.

    The log may be newer than the fit: histories are folded in, and what they hold counts as
    seen. Every user gets exactly n items, none of them seen.

    Example:

        prodgen-rec recommend --bundle shop.bundle --events log.csv \
            --users all --n 20 --out recommendations.parquet
    """
    from prodgen_rec.cli import serving

    report = Reporter(as_json=as_json, quiet=quiet)
    served = serving.recommend(
        bundle=bundle,
        events=events,
        out=out,
        users=users,
        n=n,
        cold=cold,
        inputs=Inputs(columns, max_bad_fraction, report),
    )
    report.result(served, str(out))


@app.command()
def imagine(
    bundle: options.Bundle,
    events: options.Events,
    out: Annotated[
        Path,
        typer.Option(
            help="Parquet file to write: user_id, rank, image (PNG), item_id, score, similarity."
        ),
    ],
    users: options.Users = "all",
    n: Annotated[int, typer.Option(help="Pictures per user.", min=1)] = 4,
    seed: options.Seed = 0,
    guidance: options.Guidance = None,
    likeness: options.Likeness = None,
    conditions: options.Conditions = "",
    columns: options.Columns = "",
    cold: options.ColdUsers = options.Cold.POPULAR,
    max_bad_fraction: options.MaxBad = 0.05,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    r"""Write pictures made for each user, by the history in `--events`.

    A picture depends on the bundle, the user's history and id, and these options alone: the
    same seed gives the same picture in whatever order and company users come. `item_id` is the
    real item nearest to the picture, `score` the user's preference for it.

    Example:

        prodgen-rec imagine --bundle shop.bundle --events log.csv \
            --users all --n 4 --seed 0 --out pictures.parquet
    """
    from prodgen_rec.cli import serving

    report = Reporter(as_json=as_json, quiet=quiet)
    served = serving.imagine(
        bundle=bundle,
        events=events,
        out=out,
        users=users,
        n=n,
        seed=seed,
        guidance=guidance,
        likeness=likeness,
        conditions=conditions,
        cold=cold,
        inputs=Inputs(columns, max_bad_fraction, report),
    )
    report.result(served, str(out))


@app.command()
def illustrate(
    bundle: options.Bundle,
    out: Annotated[
        Path, typer.Option(help="Parquet file to write: item_id, generated, image (PNG).")
    ],
    items: Annotated[
        str,
        typer.Option(
            help="Items that are `missing` a photo, or a file of item ids: CSV, Parquet, or one "
            "id a line.",
            metavar="missing|FILE",
        ),
    ] = "missing",
    seed: options.Seed = 0,
    guidance: Annotated[
        float, typer.Option(help="How strongly pictures follow who takes such items.", min=0)
    ] = 1.0,
    columns: options.Columns = "",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    r"""Write a substitute picture for each item that has no photo.

    It shows what the item's attributes say, as far as the settings of the fit name them, and
    what appeals to users who take such items. `generated` is true in every row, so that nobody
    takes the pictures for photos.

    Example:

        prodgen-rec illustrate --bundle shop.bundle --out substitutes.parquet
    """
    from prodgen_rec.cli import serving

    report = Reporter(as_json=as_json, quiet=quiet)
    made = serving.illustrate(
        bundle=bundle,
        out=out,
        items=items,
        seed=seed,
        guidance=guidance,
        inputs=Inputs(columns, report=report),
    )
    report.result(made, str(out))


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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
