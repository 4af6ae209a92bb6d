"""The program: its options, its commands in the order of the help, and how errors end it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from prodgen_rec._version import __version__
from prodgen_rec.cli import commands
from prodgen_rec.cli.console import INTERRUPTED, exit_code, explain

app = typer.Typer(
    name="prodgen-rec",
    help="From shop behaviour logs to recommendations and personalized product pictures.\n\n"
    "Start with `prodgen-rec demo`, which makes a small shop and runs everything on it. On your "
    "own shop: `inspect` the log, `tune` if you like, `fit` once, then `recommend` and `imagine` "
    "for users, `evaluate` on held-out events, `gallery` to look at the pictures. Every "
    "night: `nightly` for all users, `delivery` for what it has published.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Exit codes: 0 done, 2 wrong usage, 3 refused input, 4 bundle, 5 training diverged, "
    "6 something is not installed, 7 files or disk, 8 nothing to do, 9 quality gate, 10 another "
    "process writes there, 11 delivery, 130 interrupted.",
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


for _command in (
    commands.inspect,
    commands.tune,
    commands.fit,
    commands.recommend,
    commands.explain,
    commands.imagine,
    commands.illustrate,
    commands.evaluate,
    commands.gallery,
    commands.nightly,
    commands.demo,
    commands.doctor,
):
    app.command()(_command)
app.add_typer(commands.delivery, name="delivery")
