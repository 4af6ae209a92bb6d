"""Commands that serve users and items from a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prodgen_rec.cli import options
from prodgen_rec.cli.console import Reporter
from prodgen_rec.cli.inputs import Inputs


def recommend(
    bundle: options.Bundle,
    events: options.Events,
    out: Annotated[
        Path, typer.Option(help="Parquet file to write: user_id, rank, item_id, score.")
    ],
    users: options.Users = "all",
    n: Annotated[int, typer.Option(help="Items per user.", min=1)] = 20,
    quota: options.Quota = "",
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
        quota=quota,
        cold=cold,
        inputs=Inputs(columns, max_bad_fraction, report),
    )
    report.result(served, str(out))


def explain(
    bundle: options.Bundle,
    events: options.Events,
    user: Annotated[str, typer.Option(help="Id of a user of the log.", metavar="ID")],
    item: Annotated[str, typer.Option(help="Id of an item that the fit knew.", metavar="ID")],
    columns: options.Columns = "",
    max_bad_fraction: options.MaxBad = 0.05,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    r"""Show why an item has its score for a user, by the history in `--events`.

    A row for each item of the history: `value` is what the log says of it, the evidence of all its
    events, and `part` what it adds to the score. The parts sum to the score.

    Example:

        prodgen-rec explain --bundle shop.bundle --events log.csv \
            --user user-00001 --item SKU-00007
    """
    from prodgen_rec.cli import serving

    report = Reporter(as_json=as_json, quiet=quiet)
    found, table = serving.explain(
        bundle=bundle,
        events=events,
        user=user,
        item=item,
        inputs=Inputs(columns, max_bad_fraction, report),
    )
    report.result(found, table)


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
