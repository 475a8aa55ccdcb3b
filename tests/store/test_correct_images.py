"""Right images as bits in a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdrun.errors import DamagedError
from kdrun.store.correct_images import Correct, read_correct, write_correct


def packed(right):
    return Correct(len(right), "images", np.packbits(np.array(right, dtype=bool)).tobytes())


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=70))
def test_discordant_images_are_counted(pairs):
    ours, theirs = (packed([pair[side] for pair in pairs]) for side in (0, 1))
    assert ours.only(theirs) == sum(our and not their for our, their in pairs)
    assert theirs.only(ours) == sum(their and not our for our, their in pairs)


def test_no_images_are_refused(tmp_path):
    write_correct(tmp_path, {0: {"test": Correct(0, "images", b"")}})
    with pytest.raises(DamagedError, match="0 bytes for 0 images"):
        read_correct(tmp_path)


def test_the_file_says_what_was_written_and_an_older_run_has_none(tmp_path):
    assert read_correct(tmp_path) == {}
    models = {1: {"test": packed([1, 0, 1] * 7), "validation": packed([0])}, 4: {}}
    write_correct(tmp_path, models)
    assert read_correct(tmp_path) == models
