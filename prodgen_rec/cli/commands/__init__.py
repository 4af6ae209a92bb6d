"""The commands: each reads its options, calls the library, and says what came out.

They are plain functions; `prodgen_rec.cli.app` puts them in order. ``--help`` loads all of them,
so what they need beside options is imported where it is called.
"""

from prodgen_rec.cli.commands.from_bundle import explain, illustrate, imagine, recommend
from prodgen_rec.cli.commands.from_log import fit, inspect, tune
from prodgen_rec.cli.commands.judging import demo, doctor, evaluate, gallery
from prodgen_rec.cli.commands.operating import delivery, nightly

__all__ = [
    "delivery",
    "demo",
    "doctor",
    "evaluate",
    "explain",
    "fit",
    "gallery",
    "illustrate",
    "imagine",
    "inspect",
    "nightly",
    "recommend",
    "tune",
]
