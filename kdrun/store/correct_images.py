"""`correct.json` of a run: one bit per image and compared model, 1 if classified correctly."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.errors import DamagedError
from kdrun.store.files import read_sealed, write_sealed
from kdrun.store.run_folder import CORRECT


@dataclass(frozen=True)
class Correct:
    """The images of a split that a model classifies correctly.

    Attributes:
        images: number of images.
        source: hash of the images and their labels.
        right: one bit per image, highest bit first, zero-padded to whole bytes.
    """

    images: int
    source: str
    right: bytes

    def only(self, other: "Correct") -> int:
        """Number of images that this model classifies correctly and the other does not."""
        ours, theirs = (int.from_bytes(one.right, "big") for one in (self, other))
        return (ours & ~theirs).bit_count()


def same_images(ours: Correct | None, theirs: Correct | None) -> bool | None:
    """Whether two models were evaluated on the same images; None if unknown."""
    if ours is None or theirs is None:
        return None
    if (ours.images, ours.source) == (theirs.images, theirs.source):
        return True
    unknown = ours.images == theirs.images and "" in (ours.source, theirs.source)
    return None if unknown else False


CorrectImages = Mapping[int, Mapping[str, Correct]]
"""By the stage's place in the plan and the split."""


def write_correct(folder: Path, models: CorrectImages) -> None:
    """Write the file of a run.

    Raises:
        OutputError: the file cannot be written.
    """
    stages = [
        {"stage": place, "splits": {split: _entry(one) for split, one in splits.items()}}
        for place, splits in models.items()
    ]
    write_sealed(folder / CORRECT, {"format": 1, "stages": stages})


def _entry(one: Correct) -> dict[str, Any]:
    right = base64.b64encode(one.right).decode()
    return {"images": one.images, "source": one.source, "right": right}


def read_correct(folder: Path) -> CorrectImages:
    """Read the file of a run; empty for a run of an older version without this file.

    Raises:
        DamagedError: the content is not in kdrun's format.
    """
    path = folder / CORRECT
    if not path.exists():
        return {}
    content = read_sealed(path)
    try:
        return {
            int(stage["stage"]): {split: _read(one) for split, one in stage["splits"].items()}
            for stage in content["stages"]
        }
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise DamagedError(f"{path} is not of this kdrun ({error!r})") from error


def _read(entry: Mapping[str, Any]) -> Correct:
    images, right = entry["images"], base64.b64decode(entry["right"], validate=True)
    bits = int.from_bytes(right, "big")
    if not isinstance(images, int) or images < 1 or len(right) != -(-images // 8):
        raise ValueError(f"{len(right)} bytes for {images} images")
    if bits & ((1 << 8 * len(right) - images) - 1):
        raise ValueError("more right images than images")
    return Correct(images, str(entry["source"]), right)
