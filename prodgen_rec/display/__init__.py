"""Pictures for people: sheets, curves of training, the gallery page, and reports.

`grids` lays pictures out side by side, `training_curves` draws what a training recorded,
`gallery` writes a static page per shop or night, `report` one of figures and pictures,
`behavior_report` one of what a log says; `behavior_plots` are its plots, one by one.
`nightly_report` writes a page on a nightly run.
"""

from prodgen_rec.display import behavior_plots
from prodgen_rec.display.behavior_report import BehaviorReport, behavior_report
from prodgen_rec.display.gallery import GalleryUser, Picture, write_gallery
from prodgen_rec.display.grids import comparison_rows, contact_sheet
from prodgen_rec.display.nightly_report import nightly_report
from prodgen_rec.display.report import ReportSection, write_report
from prodgen_rec.figures import training_curves

__all__ = [
    "BehaviorReport",
    "GalleryUser",
    "Picture",
    "ReportSection",
    "behavior_plots",
    "behavior_report",
    "comparison_rows",
    "contact_sheet",
    "nightly_report",
    "training_curves",
    "write_gallery",
    "write_report",
]
