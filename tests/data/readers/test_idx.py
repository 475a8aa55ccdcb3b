import gzip
import random
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.data.readers.idx import read_idx
from kdrun.errors import DataError

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def idx_bytes(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_an_array_is_read_as_it_was_written(tmp_path, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(idx_bytes(IMAGES)))
    assert np.array_equal(read_idx(path, 3), IMAGES)
    assert read_idx(path, 3).flags.writeable


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "starts with nothing"),
        (b"not an idx file", "starts with 6e6f7420, not with 00000803"),
        (idx_bytes(IMAGES[0]), "starts with 00000802, not with 00000803"),
        (idx_bytes(IMAGES)[:10], "cut off in its header, after 10 bytes"),
        (idx_bytes(IMAGES)[:-1], "holds 59 values, not the 3 x 4 x 5"),
        (idx_bytes(IMAGES) + b"x", "holds 61 values, not the 3 x 4 x 5"),
        (gzip.compress(idx_bytes(IMAGES), mtime=0)[:-9], "cannot be read"),
        (gzip.compress(idx_bytes(IMAGES), mtime=0)[:20], "cannot be read"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "holds 0 values, not the 4294967295 x"),
    ],
)
def test_a_damaged_file_is_named_with_its_fault_and_the_remedy(tmp_path, content, fault):
    path = tmp_path / "train-images"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path, 3)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert fault in message
    assert "dataset.download=true" in message
    assert "\n" not in message


def test_a_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "absent", 1)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_cut_off_anywhere_is_a_data_error(tmp_path, pack):
    whole = pack(idx_bytes(IMAGES))
    path = tmp_path / "cut"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_idx(path, 3)


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans(), st.integers(1, 8))
def test_flipped_bytes_are_read_or_refused_but_never_crash(tmp_path_factory, dice, packed, flips):
    content = bytearray(idx_bytes(IMAGES))
    if packed:
        content = bytearray(gzip.compress(bytes(content), mtime=0))
    for _ in range(flips):
        content[dice.randrange(len(content))] = dice.randrange(256)
    path = tmp_path_factory.mktemp("flipped") / "file"
    path.write_bytes(content)
    with suppress(DataError):
        assert read_idx(path, 3).ndim == 3


def test_random_bytes_after_the_magic_are_refused(tmp_path):
    dice = random.Random(0)
    for number in range(200):
        path = tmp_path / str(number)
        path.write_bytes(bytes([0, 0, 8, 3]) + dice.randbytes(dice.randrange(60)))
        with pytest.raises(DataError):
            read_idx(path, 3)
