"""Files of settings: read for a fit, written by a search."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodgen_rec.cli.console import listed, one_line
from prodgen_rec.cli.options import parse_weights
from prodgen_rec.cli.outputs import check_file
from prodgen_rec.errors import ConfigError, InputError

if TYPE_CHECKING:
    from prodgen_rec.config import PersonalizerConfig

_ENDINGS = (".toml", ".json")


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

    settings = {} if config is None else _settings_in(config, "--config")
    if size is not None:
        imagery = settings.get("imagery", {})
        settings["imagery"] = {**imagery, "size": size} if isinstance(imagery, dict) else imagery
    if event_weights:
        settings["event_weights"] = parse_weights(event_weights)
    return PersonalizerConfig.parse(settings)


def write_settings(out: Path, settings: PersonalizerConfig, note: str) -> None:
    """Write the settings that differ from nothing said, as TOML or JSON by the name of the file.

    Parameters
    ----------
    out
        Ends in ``.toml`` or ``.json``.
    settings
        Those that were set when it was made are written, the defaults are not.
    note
        One line for people, as far as the format has a place for it.
    """
    from prodgen_rec.storage import atomic_file

    said = _said(settings)
    is_json = out.suffix == ".json"
    text = json.dumps(said, indent=1) + "\n" if is_json else f"# {note}\n" + _as_toml(said)
    with atomic_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_settings_file(
    out: Path, config: Path | None, settings: PersonalizerConfig, found: set[str]
) -> None:
    """Refuse a place where settings cannot be written, or where others would be lost.

    Parameters
    ----------
    out
        The place.
    config
        File that the settings come from; its comments would be lost, so it is another one.
    settings
        What will be written there, but for what is found.
    found
        Names of the settings that will be found, such as ``preferences.alpha``.

    Raises
    ------
    InputError
        It has another ending, is no place for a file, or holds a setting that will not be written.
    ConfigError
        What stands there cannot be read as settings.
    """
    from prodgen_rec.config import PersonalizerConfig

    check_file(out, _ENDINGS, ".toml or .json, the formats of settings")
    if not out.exists():
        return
    if config is not None and config.exists() and out.samefile(config):
        raise InputError(
            f"--out: {out} is --config as well, and comments in it would be lost; name another "
            "file, which will hold all of its settings"
        )
    standing = _flat(_said(PersonalizerConfig.parse(_settings_in(out, "--out"))))
    # All weights, since a search that changes one writes the others beside it.
    kept = _flat({**_said(settings), "event_weights": settings.event_weights})
    lost = [one for one, value in standing.items() if one not in found and kept.get(one) != value]
    if lost:
        raise InputError(
            f"--out: {out} holds settings that would be lost: {listed(lost)}; name another file, "
            "and give this one as --config to keep them"
        )


def _settings_in(path: Path, option: str) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"{option}: there is no file {path}")
    try:
        text = path.read_text(encoding="utf-8")
        settings = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError(f"{option}: {path} is no valid {kind}: {one_line(error)}") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"{option}: {path} must hold named settings, such as {{'imagery': …}}")
    return settings


def _said(settings: PersonalizerConfig) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude_unset=True)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their full names, such as ``imagery.size``."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": one for inner, one in value.items()}
        else:
            flat[name] = value
    return flat


def _as_toml(settings: Mapping[str, Any]) -> str:
    tables = {name: value for name, value in settings.items() if isinstance(value, dict)}
    plain = {name: value for name, value in settings.items() if name not in tables}
    lines = list(_toml_lines(plain))
    for name, table in tables.items():
        lines += ["", f"[{_toml_key(name)}]", *_toml_lines(table)]
    return "\n".join(lines) + "\n"


def _toml_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """One line each; TOML has no null, which ``half_life_days`` may be and is by default."""
    for name, value in values.items():
        if value is not None:
            yield f"{_toml_key(name)} = {json.dumps(value, ensure_ascii=False)}"


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name, ensure_ascii=False)
