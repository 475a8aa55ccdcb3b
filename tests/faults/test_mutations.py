"""The crash matrix notices each mistake that it is there to notice."""

import re

import pytest

from tests.faults.mutations import MUTATIONS
from tests.faults.test_crash_matrix import matrix

SHOWN = {
    "files-in-place": ("open", "damaged|differ"),
    "checkpoint-in-place": ("open", "damaged"),
    "no-reseed": ("update", "(weights|metrics) differ"),
    "rate-of-process": ("update", "(weights|metrics) differ"),
    "rate-behind": ("update", "differ"),
    "no-objective": ("update", "(weights|metrics) differ"),
    "no-average": ("update", "(weights|metrics) differ"),
    "no-optimizer": ("update", "(weights|metrics) differ"),
    "no-sums": ("update", "metrics differ"),
    "lines-repeated": ("update", "metrics differ"),
}
"""Where to kill, and what is then told (a pattern)."""

SMALLER = ("chain.control=false", "dataset.limit=250")


def test_every_mutation_is_tried():
    assert SHOWN.keys() == MUTATIONS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("mutation", SHOWN)
def test_the_matrix_notices(mutation):
    points, told = SHOWN[mutation]
    done = matrix("--kills", "40", "--mutation", mutation, "--points", points, "--", *SMALLER)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(told, done.stdout), done.stdout
