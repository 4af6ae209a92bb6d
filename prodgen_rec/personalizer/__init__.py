"""Preferences from a log, and pictures from preferences.

`Personalizer` joins both halves; `Imagined` is what it imagines, `UserVectors` what it folds in.
"""

from prodgen_rec.personalizer.personalizer import Personalizer
from prodgen_rec.personalizer.results import Imagined, UserVectors

__all__ = ["Imagined", "Personalizer", "UserVectors"]
