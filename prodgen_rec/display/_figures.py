"""Writing of figures, the same for all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prodgen_rec.storage import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_figure(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Give back a figure, written as PNG where there is a path, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    if path is not None:
        with atomic_file(os.fspath(path)) as temporary, temporary.open("wb") as file:
            # Unlike savefig, this heeds no user's savefig.* settings, which alter the size.
            canvas.print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return figure
