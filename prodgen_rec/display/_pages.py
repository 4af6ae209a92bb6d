"""Pages that are one file: pictures inside, no script, nothing requested."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from prodgen_rec.figures import png_of
from prodgen_rec.storage import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Fill a template of this package and write it as UTF-8, whole or not at all."""
    # Autoescaping is for ids and captions, which come from logs and catalogues.
    environment = Environment(
        loader=PackageLoader("prodgen_rec.display", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["plot_uri"] = _plot_uri
    page = environment.get_template(f"{template}.html.jinja").render(**values)
    with atomic_file(path) as temporary:
        # A lone surrogate, which a badly decoded caption may hold, becomes a question mark.
        temporary.write_bytes(page.encode("utf-8", "replace"))
    return path


def _data_uri(image: npt.NDArray[np.uint8]) -> str:
    encoded = BytesIO()
    # Full color resolution: halving it is visible on pictures this small.
    Image.fromarray(image).save(encoded, "JPEG", quality=92, subsampling=0)
    return _uri("image/jpeg", encoded.getvalue())


def _plot_uri(figure: Figure) -> str:
    return _uri("image/png", png_of(figure))


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
