"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from prodgen_rec.errors import ConfigError


class Cold(StrEnum):
    """What users without a usable history get."""

    POPULAR = "popular"
    ERROR = "error"


def positive(value: float | None) -> float | None:
    """Refuse what is not a number above 0; None is left alone."""
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"{value:g} is not a number above 0.")
    return value


def check_budget(minutes: float | None, steps: int | None) -> None:
    """Refuse a training budget that is given twice."""
    if minutes is not None and steps is not None:
        raise typer.BadParameter("--minutes and --steps are both given; give one of them.")


def check_photos(items: Path | None, photos: Path | None) -> None:
    """Refuse photos of nothing."""
    if photos is not None and items is None:
        raise typer.BadParameter("--photos are of items; give --items, too.")


Events = Annotated[
    Path, typer.Option(help="Behaviour log: a CSV or Parquet file, a folder of them, or a glob.")
]
Items = Annotated[Path, typer.Option(help="Item table: a CSV or Parquet file, one row per item.")]
Photos = Annotated[
    Path, typer.Option(help="Folder of photos named by item id, or a Parquet file of photo bytes.")
]
Bundle = Annotated[Path, typer.Option(help="Bundle: a folder that `fit` wrote.")]
Users = Annotated[
    str,
    typer.Option(
        help="`all` users of the log, or a file of user ids: CSV, Parquet, or one id a line.",
        metavar="all|FILE",
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", min=0)]
Size = Annotated[
    int | None,
    typer.Option(help="Side of the pictures in pixels: 16, 32, 64 or 128.", show_default="64"),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="TOML or JSON file of settings, named as in `PersonalizerConfig`.",
        show_default="its defaults",
    ),
]
Truth = Annotated[
    Path | None,
    typer.Option(
        help="Known tastes, a CSV file with the columns user_id, attribute, value, where "
        "attribute names a column of the item table.",
        show_default="none",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        help="Training time of the image model, in minutes.",
        show_default="20",
        callback=positive,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        help="Training steps, in place of minutes: repeats a run exactly.",
        show_default="as many as the minutes allow",
        min=1,
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        help="0 ignores the user's taste, 1 follows it, more exaggerates it.",
        show_default="the bundle's",
        min=0,
    ),
]
Likeness = Annotated[
    float | None,
    typer.Option(
        help="0 invents pictures from noise alone; the more, the nearer they are to photos of "
        "items that suit the user.",
        metavar="SHARE",
        show_default="the bundle's",
        min=0,
        max=1,
    ),
]
Conditions = Annotated[
    str,
    typer.Option(
        help="What the products shall be, of the `attributes` in the settings of the fit, such as "
        "`type=dress,color=red`.",
        metavar="ATTRIBUTE=VALUE,…",
        show_default="anything",
    ),
]
Quota = Annotated[
    str,
    typer.Option(
        help="How many items of a list may have the same value in a column of the item table, such "
        "as `type=3`. Items without a value are not limited.",
        metavar="COLUMN=MOST",
        show_default="any number",
    ),
]
Columns = Annotated[
    str,
    typer.Option(
        help="Column names of your files by ours, for all files at once, such as "
        "`user_id=uid,item_id=sku`.",
        metavar="OURS=YOURS,…",
        show_default="ours",
    ),
]
EventWeights = Annotated[
    str,
    typer.Option(
        help="Evidence of one event by its name in the log, such as `purchase=5,view=1`. "
        "Events without a weight are bad rows.",
        metavar="EVENT=WEIGHT,…",
        show_default="view=1, click=1, wishlist=2, cart=3, purchase=5, return=-5",
    ),
]
MaxBad = Annotated[
    float,
    typer.Option(
        help="Share of bad rows, 0 to 1, up to which a log is still used, without them.",
        metavar="SHARE",
        min=0,
        max=1,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else, for scripts.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors and the result.")]
ColdUsers = Annotated[
    Cold,
    typer.Option(
        help="Users without a usable history: `popular` serves them like the average user, "
        "`error` refuses."
    ),
]


def parse_pairs(text: str, option: str) -> dict[str, str]:
    """``"a=1,b=2"`` as ``{"a": "1", "b": "2"}``.

    Raises
    ------
    ConfigError
        A part is not of the form name=value, or a name comes twice.
    """
    pairs: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise ConfigError(f"{option}: {part!r} is not of the form name=value")
        if name in pairs:
            raise ConfigError(f"{option}: {name!r} is given twice")
        pairs[name] = value
    return pairs


def parse_weights(text: str) -> dict[str, float]:
    """Event weights from ``"purchase=5,view=1"``.

    Raises
    ------
    ConfigError
        A weight is no number.
    """
    weights = {}
    for name, value in parse_pairs(text, "--event-weights").items():
        try:
            weights[name] = float(value)
        except ValueError:
            raise ConfigError(
                f"--event-weights: the weight of {name!r} is {value!r}; expected a number"
            ) from None
    return weights


def parse_quota(text: str) -> tuple[str, int] | None:
    """A column and a number from ``"type=3"``; None from nothing.

    Raises
    ------
    ConfigError
        It is no whole number of at least 1, or there is more than one column.
    """
    pairs = parse_pairs(text, "--quota")
    if not pairs:
        return None
    if len(pairs) > 1:
        raise ConfigError(f"--quota: {', '.join(pairs)}: expected one column, lists keep one quota")
    ((column, most),) = pairs.items()
    if not (most.isdecimal() and int(most)):
        raise ConfigError(
            f"--quota: {most!r} items of one {column}; expected a whole number, at least 1"
        )
    return column, int(most)
