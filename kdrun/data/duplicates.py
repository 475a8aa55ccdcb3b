"""Detection of equal image files: shared by two parts, or in two classes of one part."""

import os
from collections.abc import Mapping
from itertools import combinations

import numpy as np

from kdrun.data.readers.passed_over import shown
from kdrun.data.source import Files
from kdrun.errors import some_of


def duplicate_lines(parts: Mapping[str, Files]) -> list[str]:
    """A line for each pair of parts that share image files, and part that contradicts itself.

    Args:
        parts: by name, with digests; the training part first.
    """
    lines = [line for part, files in parts.items() for line in contradiction_lines(part, files)]
    for (first, one), (second, other) in combinations(parts.items(), 2):
        shared = shared_images(one, other)
        if not shared:
            continue
        pairs = [f"{name(other, b)} = {name(one, a)}" for a, b in shared]
        lines.append(
            f"{len(shared):,} of {len(other.paths):,} {second} images are {first} images too "
            f"({some_of(pairs, 3)}): accuracy on them is not accuracy on new images; remove them "
            "from one of the two"
        )
    return lines


def contradiction_lines(part: str, files: Files) -> list[str]:
    """The line on image files of a part that are in several classes, if there are any.

    Labels may be noisy, so classes are those of the folders.
    """
    assert files.digests is not None
    first: dict[bytes, int] = {}
    pairs = []
    for place, digest in enumerate(map(bytes, files.digests)):
        other = first.setdefault(digest, place)
        if class_folder(files, place) != class_folder(files, other):
            pairs.append(f"{name(files, place)} = {name(files, other)}")
    if not pairs:
        return []
    return [
        f"{len(pairs):,} {part} images are in another class too ({some_of(pairs, 3)}): "
        "remove them from one of the classes"
    ]


def class_folder(files: Files, place: int) -> bytes:
    """The folder of the class of an image, below that of its part."""
    return bytes(files.paths[place]).split(os.fsencode(os.sep))[1]


def shared_images(one: Files, other: Files) -> list[tuple[int, int]]:
    """Pairs of positions of equal images, one for every image of `other` that occurs in `one`."""
    assert one.digests is not None
    assert other.digests is not None
    wanted = set(map(bytes, other.digests))
    places: dict[bytes, int] = {}
    for place, digest in enumerate(map(bytes, one.digests)):
        if digest in wanted:
            places.setdefault(digest, place)
    found = ((places.get(digest), place) for place, digest in enumerate(map(bytes, other.digests)))
    return [(a, b) for a, b in found if a is not None]


def name(files: Files, place: int) -> str:
    """The printable path of an image."""
    return shown(np.bytes_(files.paths[place]).decode(errors="surrogateescape"))
