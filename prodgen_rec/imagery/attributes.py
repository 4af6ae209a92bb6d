"""Attributes of the products on photos, such as a type or a color.

This module needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass

from prodgen_rec.vocabulary import Codes, Vocabulary


@dataclass(frozen=True, eq=False)
class PhotoAttributes:
    """What is known about the product on each photo.

    Attributes
    ----------
    vocabulary
        Attributes and their values.
    codes
        int32 (n_photos, n_attributes), -1 where nothing is known.
    """

    vocabulary: Vocabulary
    codes: Codes
