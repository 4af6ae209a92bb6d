"""Pictures for people: sheets, curves of training, and the gallery page.

`grids` lays pictures out side by side, `curves` draws what a training recorded, `gallery`
writes a static page per shop or night.
"""

from prodgen_rec.display.curves import training_curves
from prodgen_rec.display.gallery import GalleryUser, Picture, write_gallery
from prodgen_rec.display.grids import comparison_rows, contact_sheet

__all__ = [
    "GalleryUser",
    "Picture",
    "comparison_rows",
    "contact_sheet",
    "training_curves",
    "write_gallery",
]
