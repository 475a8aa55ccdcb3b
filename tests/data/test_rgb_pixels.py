"""Pixels of every mode against their own values, and images too large for memory."""

import re
import struct
import subprocess
import sys
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from kdrun.data.rgb_pixels import LARGE, MOST, MOST_JPEG, read_rgb
from kdrun.errors import DataError

GREY = np.arange(256, dtype=np.uint8).reshape(8, 32)


def saved(image, kind, **options):
    file = BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def read(image, kind="PNG", value_range=None, **options):
    file = image if isinstance(image, BytesIO) else saved(image, kind, **options)
    return read_rgb("x.img", file, value_range, 64)


def grey_of(pixels):
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels[..., 0], pixels[..., 1])
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    return pixels[..., 0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_grey_levels_of_16_bits_are_those_of_8_bits_times_257(kind):
    deep = Image.fromarray(GREY.astype("uint16") * 257)
    assert np.array_equal(grey_of(read(deep, kind)), GREY)


def test_every_level_of_16_bits_goes_to_the_nearest_of_8():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = [(2 * level + 257) // 514 for level in range(65536)]  # level / 257, rounded
    assert grey_of(read(Image.fromarray(levels))).ravel().tolist() == expected


def test_big_endian_levels_of_16_bits_are_read_alike():
    levels = GREY.astype(">u2") * 257
    deep = Image.frombytes("I;16B", (32, 8), levels.astype(">u2").tobytes())
    assert np.array_equal(grey_of(read(deep, "TIFF")), GREY)


def pgm(levels, white):
    height, width = levels.shape
    head = f"P5\n{width} {height}\n{white}\n".encode()
    return BytesIO(head + levels.astype(">u2").tobytes())


def test_the_white_of_a_pgm_is_the_one_it_names():
    levels = np.array([[0, 1365, 2730, 4095]])
    assert grey_of(read(pgm(levels, 4095))).tolist() == [[0, 85, 170, 255]]


def tiff_of_12_bits(levels):
    """A little-endian grey TIFF of one strip; two levels in three bytes."""
    packed = b"".join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in levels.reshape(-1, 2).tolist()
    )
    height, width = levels.shape
    tags = [(256, width), (257, height), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1)]
    tags += [(278, height), (279, len(packed))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    table = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return BytesIO(b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + table)


def test_the_white_of_a_tiff_of_12_bits_is_4095():
    levels = np.array([[0, 1365, 2730, 4095]])
    assert grey_of(read(tiff_of_12_bits(levels))).tolist() == [[0, 85, 170, 255]]


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_levels_without_a_known_range_need_one(dtype):
    deep = Image.fromarray((GREY.astype(dtype) - 100) * 4)
    with pytest.raises(DataError, match=r"\Ax\.img: mode [IF] holds .*dataset\.range=\[0,4095\]"):
        read(deep, "TIFF")
    assert np.array_equal(grey_of(read(deep, "TIFF", (-400, 620))), GREY)


def test_a_given_range_replaces_that_of_16_bits():
    levels = np.array([[0, 1365, 2730, 4095]], np.uint16)
    found = grey_of(read(Image.fromarray(levels), value_range=(0, 4095)))
    assert found.tolist() == [[0, 85, 170, 255]]


@pytest.mark.parametrize(
    ("values", "told"),
    [([0, 5000], "from 0 to 5000"), ([-1, 9], "from -1 to 9"), ([0, np.nan], "from nan to nan")],
)
def test_values_outside_of_the_range_are_refused_and_not_cut_off(values, told):
    deep = Image.fromarray(np.array([values], np.float32))
    with pytest.raises(DataError, match=rf"x\.img: values {told}, outside the range.*4095"):
        read(deep, "TIFF", (0, 4095))


def test_a_given_range_changes_no_image_of_8_bits():
    assert np.array_equal(grey_of(read(Image.fromarray(GREY), value_range=(0, 4095))), GREY)


def png_of_16_bits(pixels):
    """A PNG of 16 bits a channel, which PIL reads and does not write."""
    height, width, channels = pixels.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return BytesIO(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_of_channels_of_16_bits_the_upper_8_are_kept(channels):
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 7, channels), np.uint16)
    upper = (pixels >> 8).astype(np.uint8)
    expected = upper[..., :3] if channels > 2 else np.repeat(upper[..., :1], 3, 2)
    assert np.array_equal(read(png_of_16_bits(pixels)), expected)


def test_alpha_is_dropped_and_the_colours_below_it_show():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    assert np.array_equal(read(Image.fromarray(pixels)), pixels[..., :3])
    grey = read(Image.fromarray(pixels[..., :2]))
    assert np.array_equal(grey_of(grey), pixels[..., 0])


def test_a_transparent_palette_keeps_its_colours():
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    found = read(image, transparency=bytes([0, 128, 255]))
    assert found.tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]


def test_black_and_white_are_0_and_255():
    assert grey_of(read(Image.fromarray(GREY > 99).convert("1"))).ravel().tolist() == (
        [0] * 100 + [255] * 156
    )


def test_of_a_gif_the_first_frame_is_read():
    frames = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (7, 200)]
    file = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.all(read(file) == 7)


MEMORY = """
import resource, sys
from kdrun.data.rgb_pixels import read_rgb
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[1], "rb") as file:
    print(*read_rgb("x", file, None, 256).shape)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def shape_and_megabytes(file):
    command = [sys.executable, "-c", MEMORY, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    shape, megabytes = done.stdout.splitlines()
    return tuple(map(int, shape.split())), int(megabytes)


def test_a_huge_jpeg_is_decoded_at_a_quarter_in_little_memory(tmp_path):
    Image.new("RGB", (13000, 13000), (10, 200, 90)).save(tmp_path / "huge.jpg")
    shape, megabytes = shape_and_megabytes(tmp_path / "huge.jpg")
    assert shape == (3250, 3250, 3)
    assert megabytes < 250  # all of it in RGB takes 507 MB, and twice that in PIL's copy


def test_a_large_image_of_another_kind_is_reduced_by_means():
    small = np.random.default_rng(0).integers(0, 256, (3, 5), np.uint8)
    large = Image.fromarray(np.kron(small, np.ones((1600, 1600), np.uint8)))
    assert large.width * large.height > LARGE
    found = grey_of(read(large))
    assert found.shape[0] * found.shape[1] <= LARGE
    assert np.array_equal(found[400::800, 400::800][:3, :5], small)


def header_only(kind, width, height):
    """A file that says how large it is, and holds no image data."""
    file = saved(Image.new("L", (8, 8)), kind)
    content = bytearray(file.getvalue())
    if kind == "PNG":
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    else:
        place = content.index(b"\xff\xc0")
        content[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return BytesIO(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("side", [14000, 30000])
def test_an_image_beyond_the_bound_is_named_with_what_to_do(kind, side):
    with pytest.raises(DataError, match=r"\Ax\.img: .*pixels.*; make the image smaller\Z"):
        read(header_only(kind, side, side))


def test_the_line_of_a_large_image_names_its_size_and_the_bound():
    line = "x.img: 9500x9500 pixels, at most 89 million can be decoded of a PNG"
    with pytest.raises(DataError, match=re.escape(line)):
        read(header_only("PNG", 9500, 9500))
    assert MOST_JPEG > 169_000_000 > MOST


def test_ordinary_jpegs_are_decoded_whole():
    image = Image.effect_noise((2000, 1500), 50).convert("RGB")
    file = saved(image, "JPEG")
    with Image.open(BytesIO(file.getvalue())) as expected:
        assert np.array_equal(read(file), np.asarray(expected))
