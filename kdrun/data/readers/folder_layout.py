"""Parts of an image folder: where train/, val/ and test/ are. Imports no torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdrun.data.readers.passed_over import hidden, shown
from kdrun.errors import DataError, some_of
from kdrun.store.home import expand_home

LAYOUT = "train/CLASS/IMAGE and val/CLASS/IMAGE, or test/CLASS/IMAGE, or both"

NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Accepted names of the folder of each part, in upper or lower case; the first is the usual one."""


@dataclass(frozen=True)
class Layout:
    """The folders of an image data set.

    Attributes:
        root: folder of all parts.
        parts: name of the folder of each part that exists: `train`, `val`, `test`.
        notes: lines for the user on unusual names.
    """

    root: Path
    parts: dict[str, str]
    notes: tuple[str, ...] = ()

    def folder(self, part: str) -> Path:
        """The folder of a part."""
        return self.root / self.parts[part]


def find_layout(name: str, root: str | None) -> Layout:
    """Find the parts below `dataset.root`.

    Raises:
        DataError: the root is not set or no folder, or a part is missing or ambiguous.
    """
    if root is None:
        raise DataError(f"{name}: set dataset.root to a folder that holds {LAYOUT}")
    folder = expand_home(root)
    names = subfolders(folder)
    found = {part: _matching(part, names) for part in NAMES}
    parts = {part: _chosen(folder, part, given) for part, given in found.items() if given}
    if "train" not in parts:
        raise DataError(f"{titled(folder)}: {_without_train(folder, names)}")
    if len(parts) < 2:
        raise DataError(
            f"{titled(folder)}: has neither val/ nor test/ (it holds {some_of(names)}); it must "
            f"hold {LAYOUT}"
        )
    return Layout(folder, parts, tuple(_name_notes(found, parts)))


def subfolders(folder: Path) -> list[str]:
    """The sorted names of the folders in `dataset.root`, without hidden and system folders.

    Raises:
        DataError: the folder is missing, unreadable or a file.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if os.path.isdir(path))
    except OSError as error:
        hint = "unpack the file and give the folder" if os.path.isfile(folder) else "give a folder"
        raise DataError(
            f"{titled(folder)}: {error.strerror}; {hint} that holds {LAYOUT}"
        ) from error
    return [name for name in names if not hidden(name)]


def titled(folder: Path) -> str:
    """The folder as a setting, with its full path where that is not what was given."""
    full = os.path.abspath(folder)
    place = "" if full == str(folder) else f" ({shown(full)})"
    return f"dataset.root={shown(str(folder))}{place}"


def _matching(part: str, names: Sequence[str]) -> list[str]:
    """The folders that may be the part, by their names."""
    return [name for name in names if name.lower() in NAMES[part]]


def _chosen(folder: Path, part: str, given: Sequence[str]) -> str:
    """The usual name if it is there, else the only one."""
    if part not in given and len(given) > 1:
        raise DataError(
            f"{titled(folder)}: {' and '.join(f'{one}/' for one in given)} may both be {part}/; "
            f"rename the one to use to {part}/"
        )
    return part if part in given else given[0]


def _name_notes(found: dict[str, list[str]], parts: dict[str, str]) -> list[str]:
    """Lines on parts with unusual names, and on folders that are not read for their names."""
    used = [f"{name}/ as {part}/" for part, name in parts.items() if name != part]
    left = [name for part, names in found.items() for name in names if name != parts[part]]
    reads = [f"reads {', '.join(used)}"] if used else []
    unread = ", ".join(f"{name}/" for name in left)
    return reads + ([f"skipped {unread}: train/, val/ and test/ come first"] if left else [])


def _without_train(folder: Path, names: Sequence[str]) -> str:
    """The reason why there is no train/, with the folder to give instead if there is one."""
    if os.path.islink(folder / "train"):
        target = shown(os.readlink(folder / "train"))
        return f"train is a link to {target}, which is not a folder; mount or link the right one"
    inside = [name for name in names if _holds_train(folder / name)]
    if len(inside) == 1:
        better = shown(str(folder / inside[0]))
        return f"holds no train/, but {inside[0]}/ does; set dataset.root={better}"
    above = _enclosing(folder)
    if above is not None:
        return f"lies inside a data set; give its folder: dataset.root={shown(str(above))}"
    holds = some_of([f"{shown(one)}/" for one in names]) or "no folders"
    return f"holds no train/ (it holds {holds}); it must hold {LAYOUT}"


def _enclosing(folder: Path) -> Path | None:
    """The data set of which the folder is a part or a class."""
    full = Path(os.path.abspath(folder))
    every = [name for names in NAMES.values() for name in names]
    for inner, outer in zip((full, *full.parents), full.parents[:2], strict=False):
        if inner.name.lower() in every and _holds_train(outer):
            return outer
    return None


def _holds_train(folder: Path) -> bool:
    try:
        return any(name.lower() in NAMES["train"] for name in os.listdir(folder))
    except OSError:
        return False
