"""JSON documents that carry a SHA-256 of themselves and say which version wrote them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from prodgen_rec._version import __version__
from prodgen_rec.errors import ProdgenError


class Sealed(BaseModel):
    """A document that is checked before it is believed.

    Attributes
    ----------
    format
        Version of the layout; goes up when older versions of the library cannot read it.
    library
        Version of this library at writing.
    seal
        SHA-256 of everything else.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    library: str = __version__
    seal: str = ""

    def sealed(self) -> Self:
        """The same with the right seal."""
        values = self.model_dump(mode="json", exclude={"seal"})
        text = json.dumps(values, sort_keys=True)
        return self.model_copy(update={"seal": hashlib.sha256(text.encode()).hexdigest()})

    def text(self) -> str:
        """What a file of it holds, with the right seal."""
        return self.sealed().model_dump_json(indent=1) + "\n"


Document = TypeVar("Document", bound=Sealed)


class _Header(BaseModel):
    """What every version of a document says, past and future."""

    format: int
    library: str


@dataclass(frozen=True)
class Family:
    """Documents that belong together.

    Parameters
    ----------
    name
        What they describe, as messages call it.
    format
        The newest layout that is understood.
    advice
        What to do with one that is damaged.
    corrupt, newer
        What is raised for one that is damaged, and for one of a newer version.
    """

    name: str
    format: int
    advice: str
    corrupt: type[ProdgenError]
    newer: type[ProdgenError]

    def parse(self, kind: type[Document], text: bytes, file: Path | str) -> Document:
        """Read a document; an error of this family names the file and what is wrong with it."""
        try:
            header = _Header.model_validate_json(text)
            if header.format > self.format:
                newer = self._newer(header, file)
                raise newer
            document = kind.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            damaged = self.corrupt(f"{file}: {place}: {first['msg']}; {self.advice}")
            raise damaged from error
        if document != document.sealed():
            damaged = self.corrupt(
                f"{file} is damaged, its content does not match its seal; {self.advice}"
            )
            raise damaged
        return document

    def _newer(self, header: _Header, file: Path | str) -> ProdgenError:
        return self.newer(
            f"{file}: {self.name} format {header.format} was written by prodgen-rec "
            f"{header.library}; this is {__version__}, which reads up to format {self.format}; "
            f"upgrade with: pip install 'prodgen-rec>={header.library}'"
        )
