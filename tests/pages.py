"""Written pages as a browser would find them, and text that wants to be more than text."""

from __future__ import annotations

import base64
import re
from html import unescape
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

HOSTILE = [
    "<script>alert(1)</script>",
    '" onerror="alert(1)',
    "' onload='alert(1)",
    "</style></title></ul><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
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
    def attribute_names(self) -> set[str]:
        return {name for _, attributes in self.elements for name in attributes}

    @property
    def rows(self) -> list[list[str]]:
        """Texts of the cells of all rows of all tables."""
        rows = re.findall("<tr.*?</tr>", self.source, re.S)
        cells = [re.findall(r"<(?:th|td)\b.*?>(.*?)</(?:th|td)>", row, re.S) for row in rows]
        return [[unescape(re.sub("<.*?>", "", cell)).strip() for cell in row] for row in cells]


def decoded(image: dict[str, str | None]) -> np.ndarray:
    """Pixels of an embedded picture, int (height, width, 3)."""
    encoded = base64.b64decode((image["src"] or "").partition(",")[2])
    with Image.open(BytesIO(encoded)) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)
