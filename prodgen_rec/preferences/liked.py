"""What users took, without how often: the view of evidence that closed-form recommenders have."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array, vstack


def liked(evidence: csr_array) -> csr_array:
    """1 where the net evidence is positive, float32, nothing elsewhere."""
    return csr_array(evidence > 0, dtype=np.float32)


def liked_rows(evidence: csr_array, features: csr_array) -> csr_array:
    """What users liked, and below it the features, in units of a typical pair's evidence.

    float32 (n_users + n_features, n_items).
    """
    return vstack([liked(evidence), in_typical_pairs(features, evidence)], format="csr")


def in_typical_pairs(features: csr_array, evidence: csr_array) -> csr_array:
    """Features, in units of the mean positive evidence of a pair, float32."""
    typical = evidence.data[evidence.data > 0].mean(dtype=np.float64)
    return csr_array(features / typical, dtype=np.float32)
