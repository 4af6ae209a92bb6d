"""A page that shows, per user, what they took, what is recommended and what was imagined.

The page is one HTML file that needs nothing else: pictures are part of it, it runs no script
and requests nothing, so it can be opened from a disk, mailed or put on any web server.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prodgen_rec.display._pages import write_page
from prodgen_rec.errors import InputError


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with its words.

    Parameters
    ----------
    image
        uint8 RGB, shape (height, width, 3).
    caption
        What it shows, for example the name of the item.
    detail
        A second, quieter line, for example a price or a date.

    Raises
    ------
    InputError
        The image is not uint8 RGB.
    """

    image: npt.NDArray[np.uint8]
    caption: str = ""
    detail: str = ""

    def __post_init__(self) -> None:
        image = np.asarray(self.image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(
                f"picture {self.caption!r}: {image.dtype} of shape {image.shape}; "
                "expected uint8 RGB, shape (height, width, 3)"
            )


@dataclass(frozen=True, eq=False)
class GalleryUser:
    """One user of a gallery; any of the three sequences may be empty.

    Parameters
    ----------
    user_id
        Raw id.
    history
        Photos of items that the user took.
    recommended
        Photos of items that are recommended to the user, best first.
    imagined
        Generated pictures.
    """

    user_id: int | str
    history: Sequence[Picture] = ()
    recommended: Sequence[Picture] = ()
    imagined: Sequence[Picture] = ()


def write_gallery(
    folder: str | os.PathLike[str],
    users: Iterable[GalleryUser],
    *,
    title: str,
    note: str = "",
    summary: Mapping[str, str] | None = None,
) -> Path:
    """Write a gallery of users as one self-contained page.

    Parameters
    ----------
    folder
        Where ``index.html`` is written, whole or not at all. Made if need be.
    users
        In the order of the page. A picture of 64 pixels takes about 4 kB of it: a few hundred
        users make a page that any browser opens at once.
    title
        Heading of the page.
    note
        A sentence or two under the title, such as the night and the model.
    summary
        Figures to show at the top, label to text, for example ``{"Users": "1,204"}``.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        There are no users.
    """
    shown = list(users)
    if not shown:
        raise InputError("a gallery of no users; pass at least one GalleryUser")
    return write_page(
        Path(folder) / "index.html",
        "gallery",
        title=title,
        note=note,
        summary=summary or {},
        users=shown,
    )
