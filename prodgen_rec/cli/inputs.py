"""How commands read logs, users and bundles by one mapping of column names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from prodgen_rec import columns
from prodgen_rec.cli.console import Reporter
from prodgen_rec.cli.options import parse_pairs
from prodgen_rec.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from prodgen_rec.catalog import Catalog
    from prodgen_rec.config import PersonalizerConfig
    from prodgen_rec.events import Events
    from prodgen_rec.interactions import Interactions
    from prodgen_rec.personalizer import Personalizer

_EVENT_NAMES = (*columns.EVENT_COLUMNS, *columns.OPTIONAL_EVENT_COLUMNS)
_MAPPABLE = (*_EVENT_NAMES, columns.PHOTO)


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
        from prodgen_rec.events.reader import header_of

        wanted = {ours: theirs for ours, theirs in self.mapping.items() if ours in names}
        present = header_of(path) if wanted else []
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

    def read_catalog(
        self,
        items: Path,
        photos: Path | None,
        *,
        size: int,
        cache: Path | None = None,
        max_missing_fraction: float = 0.5,
    ) -> Catalog:
        """An item table and its photos, if there are any; says what was found."""
        from prodgen_rec.catalog import read_catalog

        mapping = self.columns_of(items, [columns.ITEM_ID])
        if photos is not None and columns.PHOTO in self.mapping:
            mapping[columns.PHOTO] = self.mapping[columns.PHOTO]
        with self.report.step(f"reading {items}" + (f" and {photos}" if photos else "")):
            catalog = read_catalog(
                items,
                photos,
                size=size,
                columns=mapping,
                cache_dir=cache,
                max_missing_fraction=max_missing_fraction,
                progress=self.report.talks,
            )
            self.report.say(f"  {catalog.report.summary()}")
        return catalog

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
        return None if text == "all" else self._read_ids(Path(text), "user", ", or all")

    def read_items(self, text: str) -> pa.Array | None:
        """Item ids of ``--items``, each once: None for ``missing``, or those in a file.

        Raises
        ------
        InputError
            As in `read_users`.
        """
        return None if text == "missing" else self._read_ids(Path(text), "item", ", or missing")

    def _read_ids(self, path: Path, what: str, otherwise: str) -> pa.Array:
        from prodgen_rec.id_files import IdFile

        file, name = IdFile(path, f"--{what}s", what, otherwise), f"{what}_id"
        return file.ids([self.columns_of(path, [name]).get(name, name)]).unique()

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
