"""RGB pixels of an opened image file of any mode, size and EXIF orientation.

Modes of up to 8 bits are converted by PIL: alpha and transparency are dropped, exposing the colours
below; CMYK is converted without a colour profile; black and white become 0 and 255. PIL keeps the
upper 8 bits of 16-bit colours. Grey levels of more than 8 bits are scaled by the range of their
format if fixed, or else by `dataset.range`.
"""

import math
import warnings
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from kdrun.data.orientation import orientation, upright
from kdrun.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

ValueRange = tuple[float, float]

LARGE = 16_000_000
"""Largest image decoded at full size, in pixels; larger ones are reduced first."""

MOST = 89_000_000
"""Largest image decoded at all, in pixels: half a gigabyte; PIL considers more a bomb."""

MOST_JPEG = 178_000_000
"""The same limit for a JPEG that can be reduced during decoding."""

BLOCK = 1 << 20  # grey levels scaled at a time, to bound the memory of their floats

JPEG = ("JPEG", "MPO")  # MPO holds several images, as written by phones

BITS_PER_SAMPLE = 258  # TIFF's tag


def read_rgb(path: str, file: BinaryIO, value_range: ValueRange | None, side: int) -> np.ndarray:
    """Decode the (H, W, 3) uint8 image in a file.

    Args:
        path: of the file, for messages.
        file: the opened file.
        value_range: values of black and white, for grey levels of more than 8 bits.
        side: needed length of the shorter side, in pixels; a large image may be reduced to it.

    Raises:
        DataError: the image is too large, or the range of its values is unknown or exceeded.
        Exception: any error of a decoder on damaged files.
    """
    from PIL import Image  # noqa: PLC0415  only where files are decoded

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's warnings about size and odd metadata
        try:
            image = Image.open(file)
        except Image.DecompressionBombError as error:
            raise DataError(f"{path}: {error}; make the image smaller") from error
        with image:
            check_size(path, image)
            enough = max(LARGE, 4 * side**2)
            if image.format in JPEG:
                draft(image, enough)
            plain = as_rgb_or_grey(path, image, value_range)
            factor = math.ceil(math.sqrt(plain.width * plain.height / enough))
            reduced = plain.reduce(factor) if factor > 1 else plain
            reduced = upright(reduced, orientation(image))
            return np.array(reduced if reduced.mode == "RGB" else reduced.convert("RGB"))


def check_size(path: str, image: "Image.Image") -> None:
    """Refuse an image that would take too much memory to decode.

    Raises:
        DataError: too many pixels; names file, size and limit.
    """
    in_parts = image.format in JPEG and not image.info.get("progressive")
    most = MOST_JPEG if in_parts else MOST
    if image.width * image.height > most:
        raise DataError(
            f"{path}: {image.width}x{image.height} pixels, at most {most / 1e6:.0f} million can be "
            f"decoded of a {'progressive ' * bool(image.info.get('progressive'))}"
            f"{image.format}; make the image smaller"
        )


def draft(image: "Image.Image", enough: int) -> None:
    """Set a large JPEG to decode at 1/2, 1/4 or 1/8 scale, to at least a quarter of `enough`.

    Ordinary JPEGs are decoded at full size, with the same pixels as in every other program.
    """
    for factor in (2, 4, 8):
        if image.width * image.height > enough:
            size = (max(1, image.width // factor), max(1, image.height // factor))
            if size[0] * size[1] <= enough or factor == 8:
                image.draft(None, size)
                return


def as_rgb_or_grey(
    path: str, image: "Image.Image", value_range: ValueRange | None
) -> "Image.Image":
    """Convert the image to mode RGB or L.

    Raises:
        DataError: more than 8 bits, with an unknown or exceeded range.
    """
    from PIL import Image  # noqa: PLC0415  only where files are decoded

    if image.mode in ("RGB", "L"):
        image.load()
        return image
    if not (image.mode.startswith("I") or image.mode == "F"):
        return image.convert("RGB")
    limits = value_range or known_range(image)
    if limits is None:
        raise DataError(
            f"{path}: mode {image.mode} holds more than 8 bits of unknown range; set the range, "
            "such as dataset.range=[0,4095]"
        )
    return Image.fromarray(to_bytes(path, np.asarray(image), limits))


def known_range(image: "Image.Image") -> ValueRange | None:
    """The values of black and white, if fixed by the mode or the format."""
    sixteen = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
    if image.mode == "F" or not sixteen:
        return None
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))
    return 0, 2 ** int(bits[0]) - 1


def to_bytes(path: str, values: np.ndarray, limits: ValueRange) -> np.ndarray:
    """Scale the values to uint8, from 0 at `low` to 255 at `high`.

    Raises:
        DataError: a value is outside the range or NaN.
    """
    low, high = limits
    result = np.empty(values.shape, np.uint8)
    rows = max(1, BLOCK // values.shape[1])
    for start in range(0, len(values), rows):
        block = values[start : start + rows].astype(np.float64)
        if not (block.min() >= low and block.max() <= high):  # nan fails too
            found = f"from {block.min():g} to {block.max():g}"
            raise DataError(
                f"{path}: values {found}, outside the range from {low:g} to {high:g}; set "
                "dataset.range to the range of all images"
            )
        result[start : start + rows] = np.rint((block - low) * (255 / (high - low)))
    return result
