"""RGB pixels of an opened image file, whatever its mode and its size.

Modes of 8 bits and fewer are converted by PIL: alpha and transparency are dropped, so that the
colours below them show; CMYK without a colour profile; black and white as 0 and 255. Of colours in
16 bits PIL keeps the upper 8. Grey levels of more than 8 bits are scaled by the range of their
values, where the file's kind fixes it, or else by `dataset.range`.
"""

import math
import warnings
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from kdrun.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

ValueRange = tuple[float, float]

LARGE = 16_000_000
"""Pixels of an image that is decoded as it is; larger ones are reduced first."""

MOST = 89_000_000
"""Pixels of an image that is decoded at all, in half a gigabyte; PIL calls more a bomb."""

MOST_JPEG = 178_000_000
"""The same of a JPEG that can be reduced while it is decoded."""

BLOCK = 1 << 20  # grey levels scaled at a time, so that few of them are floats at once

JPEG = ("JPEG", "MPO")  # the second holds several, as phones write them

BITS_PER_SAMPLE = 258  # TIFF's tag


def read_rgb(path: str, file: BinaryIO, value_range: ValueRange | None, side: int) -> np.ndarray:
    """The (H, W, 3) uint8 image in a file.

    Args:
        path: of the file, for messages.
        file: opened.
        value_range: values of black and white, for grey levels of more than 8 bits.
        side: pixels of the shorter side that are needed of a large image.

    Raises:
        DataError: it is too large, or the range of its values is unknown or exceeded.
        Exception: whatever broken bytes lead a decoder to.
    """
    from PIL import Image  # noqa: PLC0415  only where files are decoded

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's, of size and of odd metadata
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
            return np.array(reduced if reduced.mode == "RGB" else reduced.convert("RGB"))


def check_size(path: str, image: "Image.Image") -> None:
    """Refuse an image that would take too much memory to decode.

    Raises:
        DataError: it has too many pixels; names file, size and limit.
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
    """Have a large JPEG decoded at a half, a quarter or an eighth, to at least a quarter of enough.

    Ordinary ones are decoded whole, so that their pixels are the same in every program.
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
    """The image in mode RGB or L.

    Raises:
        DataError: it has more than 8 bits, and their range is unknown or exceeded; says which.
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
            f"{path}: mode {image.mode} holds more than 8 bits, whose range is not known; set it, "
            "such as dataset.range=[0,4095]"
        )
    return Image.fromarray(to_bytes(path, np.asarray(image), limits))


def known_range(image: "Image.Image") -> ValueRange | None:
    """The values of black and white where the mode or the format fixes them."""
    sixteen = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
    if image.mode == "F" or not sixteen:
        return None
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))
    return 0, 2 ** int(bits[0]) - 1


def to_bytes(path: str, values: np.ndarray, limits: ValueRange) -> np.ndarray:
    """The values as uint8, from low at 0 to high at 255.

    Raises:
        DataError: one is outside of the range or not a number.
    """
    low, high = limits
    result = np.empty(values.shape, np.uint8)
    rows = max(1, BLOCK // values.shape[1])
    for start in range(0, len(values), rows):
        block = values[start : start + rows].astype(np.float64)
        if not (block.min() >= low and block.max() <= high):  # nan fails too
            found = f"from {block.min():g} to {block.max():g}"
            raise DataError(
                f"{path}: values {found}, outside of the range from {low:g} to {high:g}; set "
                "dataset.range to the range of all images"
            )
        result[start : start + rows] = np.rint((block - low) * (255 / (high - low)))
    return result
