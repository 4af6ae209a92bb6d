"""How commands read their files, and how what is wrong with one becomes one sentence."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodgen_rec import columns
from prodgen_rec.cli.console import Reporter
from prodgen_rec.cli.options import parse_pairs, parse_weights
from prodgen_rec.cli.outputs import PARQUET
from prodgen_rec.errors import ConfigError, EventsError, InputError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from prodgen_rec.config import PersonalizerConfig
    from prodgen_rec.events import Events
    from prodgen_rec.interactions import Interactions
    from prodgen_rec.personalizer import Personalizer

_EVENT_NAMES = (*columns.EVENT_COLUMNS, *columns.OPTIONAL_EVENT_COLUMNS)
_MAPPABLE = (*_EVENT_NAMES, columns.PHOTO)
_TRUTH_COLUMNS = (columns.USER_ID, "attribute", columns.VALUE)


@dataclass
class Inputs:
    """How a command reads its files, and to whom it talks.

    Attributes
    ----------
    column_text
        Text of ``--columns``.
    max_bad_fraction
        See `read_events`.
    report
        Hears what goes on.
    """

    column_text: str = ""
    max_bad_fraction: float = 0.05
    report: Reporter = field(default_factory=Reporter)
    _wanted: set[str] = field(default_factory=set, init=False)
    _found: set[str] = field(default_factory=set, init=False)

    @cached_property
    def mapping(self) -> dict[str, str]:
        """The files' column names by ours.

        Raises
        ------
        ConfigError
            The text of ``--columns`` cannot be read, or names a column that is not ours.
        """
        mapping = parse_pairs(self.column_text, "--columns")
        for name in mapping:
            if name not in _MAPPABLE:
                raise ConfigError(
                    f"--columns: {name!r} is none of our columns, which are "
                    f"{', '.join(_MAPPABLE)}; write ours=yours"
                )
        return mapping

    def columns_of(self, path: Path, names: Sequence[str]) -> dict[str, str]:
        """The part of the mapping that concerns one file.

        One mapping serves all files of a command, so a name counts for the files that have such
        a column, and for those that have neither that nor ours: whoever reads them refuses.

        Parameters
        ----------
        path
            CSV or Parquet files, as `read_events` takes them.
        names
            Our names that the file can have.
        """
        wanted = {ours: theirs for ours, theirs in self.mapping.items() if ours in names}
        present = _header(path) if wanted else []
        self._wanted.update(wanted)
        self._found.update(ours for ours, theirs in wanted.items() if theirs in present)
        return {
            ours: theirs
            for ours, theirs in wanted.items()
            if theirs in present or ours not in present
        }

    def check_columns_found(self) -> None:
        """Refuse a mapping to a column that none of the files read so far has.

        Raises
        ------
        ConfigError
            Names the column; it is likely misspelled.
        """
        for ours in sorted(self._wanted - self._found):
            raise ConfigError(
                f"--columns: no file has a column {self.mapping[ours]!r}, which was to be read as "
                f"{ours!r}; correct its name or leave it out"
            )

    def read_log(self, path: Path, settings: PersonalizerConfig) -> Events:
        """A behaviour log; says what was found."""
        from prodgen_rec.events import read_events

        with self.report.step(f"reading {path}"):
            log = read_events(
                path,
                columns=self.columns_of(path, _EVENT_NAMES),
                event_weights=settings.event_weights,
                max_bad_fraction=self.max_bad_fraction,
            )
            self.report.say(f"  {log.report}")
        return log

    def read_history(self, path: Path, personalizer: Personalizer) -> Interactions:
        """Histories in a log, by the settings of a personalizer."""
        return personalizer.interactions(self.read_log(path, personalizer.config))

    def read_users(self, text: str) -> pa.Array | None:
        """User ids of ``--users``, each once: None for ``all``, or those in a file.

        Raises
        ------
        InputError
            The file is missing, unreadable or empty, or has no such column.
        """
        if text == "all":
            return None
        path = Path(text)
        if not path.is_file():
            raise InputError(f"--users: there is no file {path}; give a file of user ids, or all")
        column = self.columns_of(path, [columns.USER_ID]).get(columns.USER_ID, columns.USER_ID)
        is_parquet = path.name.lower().endswith(PARQUET)
        ids = (_ids_in_parquet if is_parquet else _ids_in_text)(path, column)
        if len(ids) == 0:
            raise InputError(f"--users: {path} holds no user ids")
        return ids.unique()

    def open_bundle(self, path: Path) -> Personalizer:
        """A saved personalizer."""
        from prodgen_rec.personalizer import Personalizer

        with self.report.step(f"opening {path}"):
            return Personalizer.load(path)

    def open_for_users(
        self, bundle: Path, events: Path, users: str
    ) -> tuple[Personalizer, Interactions, pa.Array]:
        """A saved personalizer, the histories in a log, and the ids of the users to serve."""
        user_ids = self.read_users(users)
        personalizer = self.open_bundle(bundle)
        history = self.read_history(events, personalizer)
        self.check_columns_found()
        return personalizer, history, history.users.arrow if user_ids is None else user_ids


def read_settings(
    config: Path | None, *, size: int | None, event_weights: str
) -> PersonalizerConfig:
    """Settings of a file, with those of the command line over them.

    Raises
    ------
    ConfigError
        The file cannot be read, or a setting is unknown or out of range.
    """
    from prodgen_rec.config import PersonalizerConfig

    settings = {} if config is None else _settings_in(config)
    if size is not None:
        imagery = settings.get("imagery", {})
        settings["imagery"] = {**imagery, "size": size} if isinstance(imagery, dict) else imagery
    if event_weights:
        settings["event_weights"] = parse_weights(event_weights)
    return PersonalizerConfig.parse(settings)


def read_truth(path: Path) -> pd.DataFrame:
    """Known tastes: ``user_id``, ``attribute`` and ``value``.

    Raises
    ------
    InputError
        The file cannot be read, is empty, or lacks a column.
    """
    import pandas as pd

    if not path.is_file():
        raise InputError(f"--truth: there is no file {path}")
    try:
        table = pd.read_csv(path, dtype={columns.USER_ID: str})  # "007" is not 7
    except (ValueError, OSError) as error:
        raise InputError(f"--truth: {path} cannot be read as CSV: {_one_line(error)}") from error
    missing = [name for name in _TRUTH_COLUMNS if name not in table]
    if missing or table.empty:
        wrong = f"has no column {', '.join(missing)}" if missing else "has no rows"
        raise InputError(
            f"--truth: {path} {wrong}; expected {', '.join(_TRUTH_COLUMNS)}, "
            f"it has {', '.join(table.columns)}"
        )
    return table


def _header(path: Path) -> list[str]:
    """Column names of a file or of the first of several; none where it cannot be read."""
    from prodgen_rec.events.csv_source import CsvSource
    from prodgen_rec.events.sources import ParquetSource, find_files

    try:
        first = find_files(path)[0]
        is_parquet = first.name.lower().endswith(PARQUET)
        return (ParquetSource(first) if is_parquet else CsvSource(first)).column_names
    except EventsError:
        return []  # whoever reads it will say what is wrong with it


def _settings_in(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"--config: there is no file {path}")
    try:
        text = path.read_text(encoding="utf-8")
        settings = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError(f"--config: {path} is no valid {kind}: {_one_line(error)}") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"--config: {path} must hold named settings, such as {{'imagery': …}}")
    return settings


def _ids_in_parquet(path: Path, column: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from prodgen_rec.ids import as_id_array

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            ids = file.read(columns=[column])[column] if column in names else None
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"--users: {path} cannot be read as Parquet: {_one_line(error)}"
        ) from error
    if ids is None:
        raise InputError(_no_column(path, column, names))
    return as_id_array(ids, f"--users: {path}")


def _ids_in_text(path: Path, column: str) -> pa.Array:
    """Ids in a CSV file with a header, or one on each line."""
    import pyarrow as pa

    from prodgen_rec.ids import infer_integers

    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        delimiter = max(",;\t", key=lines[0].count) if lines else ","
        rows = [
            (number, row)
            for number, row in enumerate(csv.reader(lines, delimiter=delimiter), 1)
            if row
        ]
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"--users: {path} cannot be read as CSV or lines of text: {_one_line(error)}"
        ) from error
    place = 0
    if rows and column in (header := rows[0][1]):
        place, rows = header.index(column), rows[1:]
    elif rows and len(header) > 1:
        raise InputError(_no_column(path, column, header))
    for number, row in rows:
        if len(row) <= place or not row[place].strip():
            raise InputError(f"--users: {path}: line {number} holds no user id; drop that line")
    return infer_integers(pa.array([row[place].strip() for _, row in rows], pa.string()))


def _no_column(path: Path, column: str, names: Sequence[str]) -> str:
    return (
        f"--users: {path} has no column {column!r}; it has {', '.join(names)}; name the one with "
        "the user ids: --columns user_id=…"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
