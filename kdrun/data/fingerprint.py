"""Fingerprint of the images, labels and splits of a run."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def fingerprint(facts: Mapping[str, Any], arrays: Iterable[np.ndarray]) -> str:
    """The hex SHA-256 of JSON facts and of arrays in order: values, types and shapes."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
