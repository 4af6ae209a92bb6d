"""What is written beside the rows: plan, records of parts, manifest, and what is published."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from prodgen_rec.errors import DeliveryCorruptError, DeliveryVersionError, InputError
from prodgen_rec.sealed import Document, Family, Sealed

FORMAT = 1
"""Goes up when older versions of the library can no longer read a run."""

CURRENT = "CURRENT"
"""File of a target that names the published run; readers start here."""
RUNS = "runs"
"""Folder of a target that holds a folder for each run."""
PLAN = "plan.json"
"""File of an unfinished run that says what it is made from."""
FORGOTTEN = "forgotten"
"""Reason under which users are counted who were removed from a run."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_PART = r"^part-[0-9]{5,9}(-[0-9]{1,9})?\.parquet$"
_MANIFEST = re.compile(r"manifest(?:-([1-9][0-9]{0,8}))?\.json")

RunId = Annotated[str, Field(pattern=rf"^{_RUN_ID.pattern}$")]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

_RUNS = Family(
    name="delivery",
    format=FORMAT,
    advice="restore it from a copy, or roll back to another run",
    corrupt=DeliveryCorruptError,
    newer=DeliveryVersionError,
)


def parse(kind: type[Document], text: bytes, file: Path | str) -> Document:
    """Read a document of a target, and check its seal.

    Raises
    ------
    DeliveryCorruptError, DeliveryVersionError
        Name the file.
    """
    return _RUNS.parse(kind, text, file)


def built(kind: type[Document], **values: Any) -> Document:
    """A document of given values, as it will be read again.

    Raises
    ------
    InputError
        A value is of the wrong kind, or JSON cannot hold it.
    """
    try:
        document = kind(**values)
        return parse(kind, document.text().encode(), "what was written")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or kind.__name__.lower()
        raise InputError(
            f"{place}: {first['msg']}, got {first['input']!r:.100}; pass one that fits"
        ) from error
    except DeliveryCorruptError as error:
        raise InputError(
            "a value comes back from JSON as another one; pass no NaN, no infinity and no "
            f"numpy types: {values!r:.300}"
        ) from error


def checked_run_id(run_id: str) -> str:
    """The same name of a run, where it can be a folder's on every file system.

    Raises
    ------
    InputError
        It cannot: nothing was read or written.
    """
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise InputError(
            f"run id {run_id!r}: expected 1 to 100 letters, digits, dots, dashes and underscores, "
            "the first of them a letter or a digit; the date of the night will do: '2026-11-26'"
        )
    return run_id


def part_name(index: int, revision: int = 0) -> str:
    """File name of a part; a revision above 0 means that it was rewritten."""
    return f"part-{index:05d}{f'-{revision}' if revision else ''}.parquet"


def record_name(index: int) -> str:
    """File name of the record that makes a part a finished one."""
    return f"part-{index:05d}.json"


def manifest_name(revision: int) -> str:
    """File name of a manifest."""
    return f"manifest-{revision}.json" if revision else "manifest.json"


def revision_of(name: str) -> int | None:
    """The revision that a file is the manifest of, or None if it is no manifest."""
    found = _MANIFEST.fullmatch(name)
    return int(found[1] or 0) if found else None


class Counts(BaseModel):
    """How many users came in, and what became of them; in is always out and refused.

    Attributes
    ----------
    n_in, n_out
        Users that were to get rows, and those that did.
    refused
        Users that did not, by reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_in: NonNegativeInt
    n_out: NonNegativeInt
    refused: dict[str, PositiveInt]

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        n_refused = sum(self.refused.values())
        if self.n_in != self.n_out + n_refused:
            raise ValueError(f"{self.n_in} users in, {self.n_out} out and {n_refused} refused")
        return self

    def without(self, n: int) -> Counts:
        """The same after ``n`` users were forgotten."""
        return Counts(
            n_in=self.n_in, n_out=self.n_out - n, refused=added(self.refused, {FORGOTTEN: n})
        )


def added(*counts: Mapping[str, int]) -> dict[str, int]:
    """Sums of counts by reason, in the order of reasons, without zeros."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return {reason: total[reason] for reason in sorted(total) if total[reason]}


class PartRecord(Sealed):
    """What is known of a part.

    Attributes
    ----------
    name, n_bytes, sha256
        File of the part.
    rows, columns
        Number of rows; Arrow type of each column, by name.
    counts
        Of its users.
    figures
        JSON values that the maker of the part wants to be known, of its quality for instance.
    """

    format: int = FORMAT
    name: Annotated[str, Field(pattern=_PART)]
    n_bytes: NonNegativeInt
    sha256: Hash
    rows: NonNegativeInt
    columns: dict[str, str]
    counts: Counts
    figures: dict[str, JsonValue]


def counts_of(parts: Iterable[PartRecord]) -> Counts:
    """Counts of users, over all parts."""
    counts = [part.counts for part in parts]
    return Counts(
        n_in=sum(one.n_in for one in counts),
        n_out=sum(one.n_out for one in counts),
        refused=added(*(one.refused for one in counts)),
    )


class Plan(Sealed):
    """What a run is made from: the same plan gives the same bytes.

    Attributes
    ----------
    run_id, date
        Its name, and the night that it is for.
    seed
        Of all random choices.
    settings
        JSON values.
    inputs
        Fingerprint of everything that was read: bundle, events, and what files of items and users
        say.
    kernel
        What the pictures are computed with; another one may round otherwise.
    n_parts
        How many parts there will be.
    versions
        Of Python and the libraries.
    """

    format: int = FORMAT
    run_id: RunId
    date: dt.date
    seed: int
    settings: dict[str, JsonValue]
    inputs: str
    kernel: str
    n_parts: PositiveInt
    versions: dict[str, str]

    def differences(self, other: Plan) -> list[str]:
        """Names of what two plans do not share."""
        fields = set(Plan.model_fields) - {"seal"}
        return sorted(name for name in fields if getattr(self, name) != getattr(other, name))


class Manifest(Plan):
    """A plan and what became of it; a run that has one is complete.

    Attributes
    ----------
    revision
        0 as it was made, higher where users were forgotten since.
    parts
        In order.
    counts
        Of users, over all parts, and of those who were refused before.
    figures
        JSON values that the maker of the run wants to be known, of its quality for instance.
    """

    revision: NonNegativeInt = 0
    parts: tuple[PartRecord, ...]
    counts: Counts
    figures: dict[str, JsonValue]

    @property
    def rows(self) -> int:
        """Number of rows, over all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def order(self) -> tuple[dt.date, str]:
        """By this, the newest run is the greatest."""
        return self.date, self.run_id

    @property
    def file_name(self) -> str:
        """Name of its file in the folder of the run."""
        return manifest_name(self.revision)

    @model_validator(mode="after")
    def _agrees_with_parts(self) -> Self:
        if len(self.parts) != self.n_parts:
            raise ValueError(f"{self.n_parts} parts planned, {len(self.parts)} named")
        for index, part in enumerate(self.parts):
            if part.name.split(".")[0].split("-")[1] != f"{index:05d}":
                raise ValueError(f"part {index} is called {part.name}")
            if part.columns != self.parts[0].columns:
                raise ValueError(f"{part.name} has other columns than {self.parts[0].name}")
        n_out = sum(part.counts.n_out for part in self.parts)
        if self.counts.n_out != n_out:
            raise ValueError(f"{self.counts.n_out} users out, {n_out} in the parts")
        refused = added(*(part.counts.refused for part in self.parts))
        if any(self.counts.refused.get(reason, 0) < n for reason, n in refused.items()):
            raise ValueError("parts refuse more users than the run")
        return self


class Published(Sealed):
    """What ``CURRENT`` says.

    Attributes
    ----------
    run_id, revision
        Which run, and which of its manifests.
    manifest
        SHA-256 of that manifest's file.
    withdrawn
        Runs that a rollback turned away from; they are not published again by themselves.
    """

    format: int = FORMAT
    run_id: RunId
    revision: NonNegativeInt
    manifest: Hash
    withdrawn: tuple[RunId, ...] = ()
