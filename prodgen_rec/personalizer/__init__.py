"""Preferences from a log, and pictures from preferences.

`Personalizer` joins both halves; `Imagined` is what it imagines for users, `Illustrated` for
items, `UserVectors` what it folds in.
"""

from prodgen_rec.personalizer.personalizer import Personalizer
from prodgen_rec.personalizer.results import Illustrated, Imagined, UserVectors

__all__ = ["Illustrated", "Imagined", "Personalizer", "UserVectors"]
