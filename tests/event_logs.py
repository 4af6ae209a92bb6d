"""Small logs, good and bad, for the tests of reading them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from prodgen_rec.events import Events, read_events

NOW = datetime(2024, 6, 1, tzinfo=UTC)
HEADER = "user_id,item_id,event,timestamp,quantity\n"
GOOD_LINE = "1,10,view,2024-01-02,1\n"

LOG = pd.DataFrame(
    {
        "user_id": [3, 1, 2, 1, 3],
        "item_id": [10, 11, 10, 12, 10],
        "event": ["view", "purchase", "cart", "view", "return"],
        "timestamp": pd.to_datetime(
            ["2024-01-05", "2024-01-01 10:30", "2024-02-29", "2024-01-03", "2024-01-06"],
            utc=True,
            format="ISO8601",
        ),
        "quantity": np.array([1, 2, 1, 1, 0.5], np.float32),
    }
)


def read(source, **settings):
    return read_events(source, **{"now": NOW, "max_bad_fraction": 1.0, **settings})


def frame(**columns):
    """One good row for every value given, with the columns given put in."""
    n = max(map(len, columns.values()))
    good = {"user_id": 1, "item_id": 10, "event": "view", "timestamp": datetime(2024, 1, 2)}
    return pa.table({name: [value] * n for name, value in good.items()} | columns)


def csv_file(tmp_path: Path, *lines: str | bytes, header: str = HEADER) -> Path:
    path = tmp_path / "log.csv"
    raw = [line if isinstance(line, bytes) else line.encode() for line in (header, *lines)]
    path.write_bytes(b"".join(raw))
    return path


def reasons(events: Events) -> list[tuple[int, str]]:
    return list(
        zip(
            events.quarantine["row"].to_pylist(),
            events.quarantine["reason"].to_pylist(),
            strict=True,
        )
    )


def as_csv(folder: Path) -> Path:
    LOG.to_csv(folder / "log.csv", index=False)
    return folder / "log.csv"


def as_parquet(folder: Path) -> Path:
    pq.write_table(pa.Table.from_pandas(LOG), folder / "log.parquet", row_group_size=2)
    return folder / "log.parquet"
