"""EXIF orientation of image files, by which phones store pictures that are shown turned."""

import hashlib
import warnings
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from kdrun.data.regular_files import CHUNK

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 274  # EXIF's and TIFF's tag
UPRIGHT = 1

TRANSPOSITIONS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""PIL's names of the operations that turn an image of each orientation upright."""

PNG = b"\x89PNG\r\n\x1a\n"
MARKS = (b"eXIf", b"exif", b"Orientation", b"XML:com.adobe.xmp")
"""Bytes of PNG files that may have an orientation; without them PIL decodes all to look for it."""

OVERLAP = max(map(len, MARKS)) - 1

_LOCK = Lock()  # filters of warnings belong to all threads


def orientation(image: "Image.Image") -> int:
    """The EXIF orientation of an opened image, 1 to 8; 1 if there is none or it is damaged."""
    try:
        found = image.getexif().get(ORIENTATION, UPRIGHT)
    except Exception:  # damaged EXIF raises almost anything, and the pixels may still be intact
        return UPRIGHT
    return found if found in TRANSPOSITIONS else UPRIGHT


def upright(image: "Image.Image", given: int) -> "Image.Image":
    """Turn an image of the given orientation upright."""
    from PIL import Image  # noqa: PLC0415  only where files are decoded

    if given == UPRIGHT:
        return image
    return image.transpose(Image.Transpose[TRANSPOSITIONS[given]])


class ImageDigest:
    """SHA-256 of an image file; another digest if the image is turned by its orientation.

    So results from before images were turned are not taken for results from turned images, while
    all others keep their identity.
    """

    def __init__(self) -> None:
        self._content = hashlib.sha256()
        self._head = self._tail = b""
        self._marked = False

    def update(self, chunk: bytes) -> None:
        """Add the next bytes of the file."""
        self._content.update(chunk)
        self._head = (self._head + chunk[: len(PNG)])[: len(PNG)]
        if PNG.startswith(self._head) and not self._marked:
            seen = self._tail + chunk[:OVERLAP]
            self._marked = any(mark in chunk or mark in seen for mark in MARKS)
            self._tail = (self._tail + chunk[-OVERLAP:])[-OVERLAP:]

    def finish(self, file: BinaryIO) -> bytes:
        """The digest, after all bytes were added; the file is opened for its orientation."""
        digest = self._content.digest()
        if self._head == PNG and not self._marked:
            return digest
        if stored_orientation(file) == UPRIGHT:
            return digest
        return hashlib.sha256(b"turned upright" + digest).digest()


def image_digest(file: BinaryIO) -> bytes:
    """The `ImageDigest` of an opened file."""
    digest = ImageDigest()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.finish(file)


def stored_orientation(file: BinaryIO) -> int:
    """The orientation by which kdrun turns the image; 1 for files that are no images.

    PIL itself turns TIFF images, in every version of kdrun.
    """
    from PIL import Image  # noqa: PLC0415  only where files have EXIF

    file.seek(0)
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file)
        except Exception:  # reported when the file is decoded
            return UPRIGHT
        return UPRIGHT if image.format == "TIFF" else orientation(image)
