"""Every column name, event name and default weight, once.

Tables that enter or leave the library use these names and no others. A file
with other names is read with a mapping from these names to its own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

USER_ID: Final = "user_id"
"""Raw user id, int64 or str."""
ITEM_ID: Final = "item_id"
"""Raw item id, int64 or str."""
EVENT: Final = "event"
"""What the user did, one of the names in the event weights."""
TIMESTAMP: Final = "timestamp"
"""When, UTC."""
QUANTITY: Final = "quantity"
"""How many, float, at least 0; optional, 1 where absent."""
PRICE: Final = "price"
"""Price paid per piece in the shop's currency, float; optional."""

EVENT_COLUMNS: Final = (USER_ID, ITEM_ID, EVENT, TIMESTAMP)
"""Columns that every log must have."""
OPTIONAL_EVENT_COLUMNS: Final = (QUANTITY, PRICE)
"""Columns that a log may have."""

ATTRIBUTE: Final = "attribute"
"""Name of an item attribute, str, in tables of one row per attribute."""
RANK: Final = "rank"
"""Place in a user's list, int32, 1 is best."""
SCORE: Final = "score"
"""Predicted preference of the user for the item, float32, higher is better."""
VALUE: Final = "value"
"""Net evidence of a user for an item in a history, float32; negative where it was returned."""
SIMILARITY: Final = "similarity"
"""Cosine similarity, of a picture to its nearest real item for instance, float32, -1 to 1."""
GENERATED: Final = "generated"
"""Whether a picture was made rather than taken, bool."""
IMAGE: Final = "image"
"""Encoded picture, bytes."""
LOOKS_LIKE: Final = "looks_like"
"""Raw id of the real item that a picture is nearest to."""
IS_COLD: Final = "is_cold"
"""Whether a user had no usable history, and was served like the average user; bool."""
SEED: Final = "seed"
"""Seed that pictures come from, int64."""

PHOTO: Final = "photo"
"""Encoded photo of an item, bytes, in a Parquet file of photos."""

SOURCE: Final = "source"
"""Quarantine: the file a bad row came from, or the kind of object."""
ROW: Final = "row"
"""Quarantine: 0-based number of the bad row among the data rows of its source, int64."""
REASON: Final = "reason"
"""Quarantine: why the row was refused."""
RAW: Final = "raw"
"""Quarantine: the row as text, as far as it could be read."""

EVENT_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {"view": 1.0, "click": 1.0, "wishlist": 2.0, "cart": 3.0, "purchase": 5.0, "return": -5.0}
)
"""Default evidence of one event for a preference; a return takes a purchase back."""


def how_to_map(ours: str, theirs: str) -> str:
    """Says how to name a column of a file by ours, in Python and at the command line."""
    return f"columns={{{ours!r}: {theirs!r}}}, or --columns {ours}={theirs}"
