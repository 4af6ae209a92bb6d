"""Sheets of pictures, as matplotlib figures.

Nothing here touches pyplot or its global state: a figure is built, returned and, where a path
is given, written as PNG. matplotlib is imported when a figure is asked for.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.figures import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Images = npt.NDArray[np.uint8]

# A power of two: a size in pixels divided by it is exact and comes back as the same pixels.
_DPI = 128
_INK = "#1f2328"

# In pixels.
_MARGIN, _GAP = 16, 6
_TITLE_TEXT, _LABEL_TEXT, _CAPTION_TEXT = 20, 15, 13
_LABEL_WIDTH = 180
_READABLE_CELL = 96


def contact_sheet(
    images: Images,
    path: str | os.PathLike[str] | None = None,
    *,
    columns: int = 10,
    captions: Sequence[object] | None = None,
    row_labels: Sequence[object] | None = None,
    title: str = "",
    scale: int | None = None,
) -> Figure:
    """Pictures side by side, row by row, with crisp pixels.

    Parameters
    ----------
    images
        uint8, shape (n, height, width, 3), n at least 1.
    path
        Where to write the sheet as PNG, whole or not at all. Without one nothing is written.
    columns
        Pictures per row; the last row may be shorter.
    captions
        n of them, such as names or ids: one line under each picture, shortened to its width.
    row_labels
        One per row, to the left of it.
    title
        A line above the pictures.
    scale
        Pixels of the sheet per pixel of a picture, a whole number. By default the least that
        makes a picture 96 pixels wide, so that a caption can be read.

    Returns
    -------
    matplotlib.figure.Figure
        At its own resolution, every pixel of a picture is a square of ``scale`` pixels.

    Raises
    ------
    InputError
        The images are not uint8 RGB, or captions or labels are too few or too many.
    ConfigError
        ``columns`` or ``scale`` is below 1.
    """
    check_images(images, "images")
    if columns < 1:
        raise ConfigError(f"columns is {columns}; it must be at least 1")
    starts = range(0, len(images), columns)
    under = _texts(captions, len(images), "captions", "pictures")
    labels = _texts(row_labels, len(starts), "row_labels", "rows")
    rows = [images[start : start + columns] for start in starts]
    layout = _Layout.of(rows, scale, title=title, labels=labels, captioned=bool(under))
    figure, axes = _draw(rows, layout, title, labels)
    for index, caption in enumerate(under):
        x, y = layout.corner(*divmod(index, columns))
        middle, below = x + layout.cell_width / 2, y + layout.cell_height + _GAP
        _write(axes, middle, below, caption, _CAPTION_TEXT, layout.cell_width, ha="center")
    return write_figure(figure, path)


def comparison_rows(
    rows: Mapping[str, Images],
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
    scale: int | None = None,
) -> Figure:
    """One labelled row of pictures per entry, for example bought, recommended, imagined.

    Parameters
    ----------
    rows
        Label to pictures, uint8, shape (n, height, width, 3). n may differ from row to row, and
        be 0; height and width are the same in all.
    path, title, scale
        As in `contact_sheet`.

    Raises
    ------
    InputError
        There are no pictures, they are not uint8 RGB, or not all of one size.
    ConfigError
        ``scale`` is below 1.
    """
    for label, images in rows.items():
        check_images(images, f"row {label!r}", least=0)
    sizes = {images.shape[1:3] for images in rows.values()}
    if len(sizes) != 1 or not any(len(images) for images in rows.values()):
        raise InputError(
            f"rows hold pictures of the sizes {sorted(sizes)}; expected at least one picture, "
            "and one size for all"
        )
    pictures, labels = list(rows.values()), list(rows)
    layout = _Layout.of(pictures, scale, title=title, labels=labels)
    return write_figure(_draw(pictures, layout, title, labels)[0], path)


@dataclass(frozen=True)
class _Layout:
    """Where everything is on a sheet, in pixels from its top left corner."""

    scale: int
    cell_width: int
    cell_height: int
    left: int
    top: int
    pitch: int
    width: int
    height: int

    @classmethod
    def of(
        cls,
        rows: Sequence[Images],
        scale: int | None,
        *,
        title: str,
        labels: Sequence[str],
        captioned: bool = False,
    ) -> _Layout:
        height, width = rows[0].shape[1:3]
        if scale is None:
            scale = ceil(_READABLE_CELL / width)
        if scale < 1:
            raise ConfigError(f"scale is {scale}; it must be a whole number from 1")
        n_columns = max(len(row) for row in rows)
        label_width = max((ceil(_text_width(label, _LABEL_TEXT)) for label in labels), default=0)
        left = _MARGIN + (min(label_width, _LABEL_WIDTH) + _MARGIN if labels else 0)
        top = _MARGIN + (2 * _TITLE_TEXT if title else 0)
        pitch = scale * height + _GAP + (2 * _CAPTION_TEXT if captioned else 0)
        return cls(
            scale,
            scale * width,
            scale * height,
            left,
            top,
            pitch,
            width=left + n_columns * (scale * width + _GAP) - _GAP + _MARGIN,
            height=top + len(rows) * pitch - _GAP + _MARGIN,
        )

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Top left corner of a picture, (x, y)."""
        return self.left + column * (self.cell_width + _GAP), self.top + row * self.pitch


def _draw(
    rows: Sequence[Images], layout: _Layout, title: str, labels: Sequence[str]
) -> tuple[Figure, Axes]:
    """Figure with pictures, title and labels; its axes cover it and count in pixels."""
    from matplotlib.figure import Figure

    sheet = np.full((layout.height, layout.width, 3), 255, np.uint8)
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            x, y = layout.corner(row, column)
            enlarged = image.repeat(layout.scale, axis=0).repeat(layout.scale, axis=1)
            sheet[y : y + layout.cell_height, x : x + layout.cell_width] = enlarged
    figure = Figure((layout.width / _DPI, layout.height / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    extent = (0, layout.width, layout.height, 0)
    axes.imshow(sheet, interpolation="none", extent=extent, aspect="auto")
    _write(axes, _MARGIN, _MARGIN, title, _TITLE_TEXT, layout.width - 2 * _MARGIN, weight="bold")
    for row, label in enumerate(labels):
        middle = layout.corner(row, 0)[1] + layout.cell_height / 2
        _write(axes, _MARGIN, middle, label, _LABEL_TEXT, _LABEL_WIDTH, va="center")
    return figure, axes


def _write(axes: Axes, x: float, y: float, text: str, size: int, room: int, **style: Any) -> None:
    """One line of text, shortened to the room that it has; sizes in pixels."""
    style = {"va": "top", "color": _INK, "parse_math": False, **style}
    text = _shorten(text, size, room, style.get("weight"))
    axes.text(x, y, text, fontsize=size * 72 / _DPI, **style)


def _shorten(text: str, size: int, room: int, weight: str | None) -> str:
    if _text_width(text, size, weight) <= room:
        return text
    fitting = bisect_right(
        range(len(text)), room, key=lambda end: ceil(_text_width(text[:end] + "…", size, weight))
    )
    return text[: max(fitting - 1, 0)].rstrip() + "…"


def _text_width(text: str, size: int, weight: str | None = None) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def check_images(images: Images, what: str, *, least: int = 1) -> None:
    """Refuse what is not a stack of uint8 RGB pictures, shape (n, height, width, 3).

    Raises
    ------
    InputError
        Says what came, under the name ``what``, and what was expected.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) < least:
        raise InputError(
            f"{what}: {images.dtype} of shape {images.shape}; expected uint8 RGB, "
            f"shape (n, height, width, 3), n at least {least}"
        )


def _texts(given: Sequence[object] | None, expected: int, what: str, of: str) -> list[str]:
    """Texts of one line each, none where none are given."""
    if given is None:
        return []
    if len(given) != expected:
        raise InputError(f"{what}: {len(given)} for {expected} {of}; pass one for each")
    return [" ".join(str(text).split()) for text in given]
