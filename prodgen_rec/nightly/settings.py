"""Settings of the nightly job, from a file, the environment and the command line."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt, ValidationError
from pydantic_settings import (
    BaseSettings,
    JsonConfigSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from prodgen_rec.errors import ConfigError
from prodgen_rec.nightly.documents import RunId
from prodgen_rec.nightly.quality import Gate
from prodgen_rec.nightly.recipe import Recipe, Share

_FORMATS: dict[str, Any] = {".toml": TomlConfigSettingsSource, ".json": JsonConfigSettingsSource}


def today() -> dt.date:
    """The date of the night, UTC."""
    return dt.datetime.now(dt.UTC).date()


class NightlySettings(BaseSettings):
    """What the nightly job needs to know.

    What is given here comes before the environment, where ``PRODGEN_REC_NIGHTLY_RECIPE__SEED`` is
    the setting ``recipe.seed``, and that before a file, see `read`.

    Attributes
    ----------
    bundle
        Folder that `Personalizer.save` wrote.
    events
        Log of the users to serve, whole histories: file, folder or glob, see `read_events`.
    to
        Where runs are published, folder or URL; see `Target`.
    date
        The night; by default today, UTC.
    run_id
        Name of the run; the date where None.
    recipe
        How users are served.
    gate
        What a run must not exceed to be published.
    kernel
        What computes the pictures, see `prodgen_rec.imagery.kernel_of`: ``auto`` takes the fastest
        one here, and what a run was begun with where that goes on.
    candidates
        File of the items that lists may name, such as those in stock: CSV or Parquet with a column
        ``item_id``, or one id on each line. All items of the bundle where None.
    blocked
        File of the items that nobody gets, such as recalled ones; with a column ``user_id``
        beside, of the items that these users do not get.
    users
        Table of what is known of users: ``user_id`` and a column for each attribute that the bundle
        has learned of, see `Personalizer.learn_newcomers`. Those without a usable history get a
        preference by it.
    columns
        The files' own names of columns by ours. A name counts for the files that have such a
        column, and for the log.
    max_bad_fraction
        Largest share of bad rows with which the log is still believed.
    keep
        Complete runs that are kept.
    accept
        Publish whatever the gate says, and say so.
    allow_empty
        Publish a run without users, where otherwise nothing is done.
    scratch
        Folder for the events by user, of the engine ``local``; the system's place for temporary
        files where None.
    engine
        What makes the parts: this machine, or ``spark``, for which bundle, log and place must lie
        at paths that all its machines see.
    master
        URL of the master of Spark; ``local[*,4]`` is this machine, with four tries of each task.
    spark
        Further settings of Spark, such as ``spark.executor.memory``.
    delta
        Path or URL of a Delta table that is to hold what is published, see `publish_delta`.
    """

    model_config = SettingsConfigDict(
        env_prefix="PRODGEN_REC_NIGHTLY_", env_nested_delimiter="__", extra="forbid", frozen=True
    )
    _file: ClassVar[Path | None] = None

    bundle: Path
    events: str
    to: str
    date: dt.date = Field(default_factory=today)
    run_id: RunId | None = None
    recipe: Recipe = Recipe()
    gate: Gate = Gate()
    kernel: Literal[
        "auto", "tensorflow-float32", "openvino-float32", "openvino-bf16", "openvino-bf16-prior"
    ] = "auto"
    candidates: Path | None = None
    blocked: Path | None = None
    users: Path | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    max_bad_fraction: Share = 0.05
    keep: PositiveInt = 7
    accept: bool = False
    allow_empty: bool = False
    scratch: Path | None = None
    delta: str | None = None
    engine: Literal["local", "spark"] = "local"
    master: str = "local[*,4]"
    spark: dict[str, str] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.run_id or self.date.isoformat()

    @classmethod
    def read(cls, file: Path | None = None, **given: Any) -> NightlySettings:
        """Settings of a TOML or JSON file, under those of the environment and those given.

        Raises
        ------
        ConfigError
            The file cannot be read, or a setting is missing, unknown or out of range; names it.
        """
        if file is not None and (file.suffix not in _FORMATS or not file.is_file()):
            raise ConfigError(f"settings: expected a .toml or .json file, there is none at {file}")
        of_file = type(cls.__name__, (cls,), {"_file": file, "__doc__": cls.__doc__})
        try:
            return NightlySettings.model_construct(**dict(of_file(**given)))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            came = "" if first["type"] == "missing" else f" = {first['input']!r}"
            wrong = first["msg"][:1].lower() + first["msg"][1:]
            raise ConfigError(
                f"setting {name}{came}: {wrong}; the settings are those of {cls.__name__}"
            ) from error
        except ValueError as error:  # what the parsers of the file say
            raise ConfigError(f"settings: {file} cannot be read: {error}") from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where settings come from, the strongest first."""
        if cls._file is None:
            return init_settings, env_settings
        return init_settings, env_settings, _FORMATS[cls._file.suffix](settings_cls, cls._file)
