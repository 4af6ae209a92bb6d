"""Writing parts of a run, in any process; `Run.accept` records them, in the one with the lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from prodgen_rec.errors import InputError
from prodgen_rec.nightly import parts
from prodgen_rec.nightly.documents import PartRecord, part_name
from prodgen_rec.nightly.folders import RunFolder


@dataclass(frozen=True)
class PartWriter:
    """Writes parts of a run, here or in another process; it can be pickled.

    Nothing is finished by that: the process that holds the lock records what was written, by
    `Run.accept`. Two that write the same part at once, as when a scheduler tries a slow task
    again, do no harm where both make the same rows.

    Attributes
    ----------
    folder
        Of the run.
    n_parts
        How many parts there will be.
    """

    folder: RunFolder
    n_parts: int

    def write(
        self,
        index: int,
        table: pa.Table,
        *,
        n_in: int,
        refused: Mapping[str, int] | None = None,
        figures: Mapping[str, Any] | None = None,
    ) -> PartRecord:
        """Write the file of a part, and say what is in it.

        Parameters
        ----------
        index
            0 to n_parts - 1.
        table
            Rows, with a column ``user_id``, int64 or str, of users whom `part_of` puts into
            this part.
        n_in
            Users that this part was made for.
        refused
            How many of them have no rows, by reason.
        figures
            JSON values for the record of the part, in the manifest.

        Raises
        ------
        InputError
            There is no such part, a user belongs into another one, users are neither in the
            rows nor refused, or JSON cannot hold a figure.
        OSError
            For instance a full disk; what is published and the finished parts are intact.
        """
        if not 0 <= index < self.n_parts:
            raise InputError(f"part {index}: expected 0 to {self.n_parts - 1}; the plan says so")
        name = part_name(index)
        table = parts.normalized(table, name)
        if wrong := parts.misplaced(table, index, self.n_parts):
            raise InputError(f"{name}: {wrong}; distribute users by prodgen_rec.nightly.part_of")
        content = parts.encode(table)
        record = parts.record_of(name, content, table, n_in, refused or {}, figures or {})
        self.folder.write(name, content)
        return record
