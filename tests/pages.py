"""Written pages as a browser would find them, and text that wants to be more than text."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from prodgen_rec.display import ReportSection

CHROMIUM = shutil.which("chromium")

_DEED = "document.documentElement.id=1"
"""What hostile text does where it is obeyed. Pages give this element no id."""
HOSTILE = [
    f"<script>{_DEED}</script>",
    f'"><img src=x onerror="{_DEED}">',
    f'" onload="{_DEED}',
    f"' onload='{_DEED}",
    f"</style></title></ul><img src=x onerror={_DEED}>",
    f"javascript:{_DEED}",
    "{{ 7 * 7 }}{% raw %}",
    "Tom & Jerry &lt;3",
    "https://tracker.example/pixel.gif",
]


class Page(HTMLParser):
    """Elements, attributes and texts of a page, as a browser would find them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def obeyed(self) -> bool:
        """Whether hostile text has done what it wants to do, in a browser."""
        return "id" in self.all("html")[0]

    @property
    def attribute_names(self) -> set[str]:
        return {name for _, attributes in self.elements for name in attributes}

    @property
    def rows(self) -> list[list[str]]:
        """Texts of the cells of all rows of all tables."""
        rows = re.findall("<tr.*?</tr>", self.source, re.S)
        cells = [re.findall(r"<(?:th|td)\b.*?>(.*?)</(?:th|td)>", row, re.S) for row in rows]
        return [[unescape(re.sub("<.*?>", "", cell)).strip() for cell in row] for row in cells]


def in_browser(path: Path, folder: Path) -> Page:
    """What Chromium makes of a page once everything in it has loaded; the folder is for its own."""
    assert CHROMIUM is not None
    seen = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
            f"--user-data-dir={folder / 'profile'}", path.as_uri(),
        ],
        capture_output=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    dump = folder / "seen.html"
    dump.write_bytes(seen)
    return Page(dump)


def shades(n: int, height: int = 16, width: int = 16, *, level: int = 0) -> np.ndarray:
    """n pictures, each of a shade of its own."""
    shade = (level + 20 * np.arange(n, dtype=np.uint8))[:, None, None, None]
    return np.broadcast_to(shade, (n, height, width, 3)).copy()


def plot(text: str) -> Figure:
    figure = Figure((3, 2), dpi=50)
    figure.subplots().set_title(text, parse_math=False)
    return figure


def section_of(text: str) -> ReportSection:
    """A section that shows one text wherever a text can be."""
    return ReportSection(
        text,
        note=text,
        table=[{text: text, "figure": text}],
        intervals={text: (0.5, 0.4, 0.6)},
        terms={text: text},
        pictures={text: shades(1)},
        made=[text],
        plots={text: plot(text)},
        words=[text],
    )


def decoded(image: dict[str, str | None]) -> np.ndarray:
    """Pixels of an embedded picture, int (height, width, 3)."""
    encoded = base64.b64decode((image["src"] or "").partition(",")[2])
    with Image.open(BytesIO(encoded)) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)
