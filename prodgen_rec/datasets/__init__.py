"""The embedded shop: synthetic items, photos and behaviour in which the truth is known.

- :func:`write_shop` writes it as files, :func:`make_shop` makes it in memory;
- :func:`draw_photo` draws a single product out of :data:`PRODUCT_TYPES`, :data:`COLORS` and
  :data:`PATTERNS`.
"""

from prodgen_rec.datasets.drawing import PRODUCT_TYPES, draw_photo
from prodgen_rec.datasets.palette import COLORS
from prodgen_rec.datasets.patterns import PATTERNS
from prodgen_rec.datasets.shop import Shop, ShopFiles, make_shop, write_shop

__all__ = [
    "COLORS",
    "PATTERNS",
    "PRODUCT_TYPES",
    "Shop",
    "ShopFiles",
    "draw_photo",
    "make_shop",
    "write_shop",
]
