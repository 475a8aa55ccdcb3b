"""Image folders: one folder per class. Imports no torch."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kdrun.data.source import Files, Source
from kdrun.errors import DataError, some_of

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LAYOUT = "train/CLASS/IMAGE and val/CLASS/IMAGE, or test/CLASS/IMAGE, or both"


def read_class_folders(name: str, root: str | None) -> Source[Files]:
    """List the images below root; without test/ the images of val/ are the test.

    Raises:
        DataError: folders are missing, empty or unlike one another, or a file is empty.
    """
    folder = given_root(name, root)
    class_names = list_classes(folder / "train")
    held_out = [part for part in ("val", "test") if (folder / part).is_dir()]
    if not held_out:
        raise DataError(f"{folder}: has neither val/ nor test/; dataset.root must hold {LAYOUT}")
    return Source(
        train=_list_part(folder, "train", class_names),
        validation=_list_part(folder, "val", class_names) if len(held_out) == 2 else None,
        test=_list_part(folder, held_out[-1], class_names),
        class_names=class_names,
    )


def given_root(name: str, root: str | None) -> Path:
    """The folder that `dataset.root` names.

    Raises:
        DataError: it names none.
    """
    if root is None:
        raise DataError(f"{name}: set dataset.root to a folder that holds {LAYOUT}")
    return Path(root).expanduser()


def list_classes(folder: Path) -> tuple[str, ...]:
    """The sorted names of the class folders; hidden ones are none.

    Raises:
        DataError: the folder is missing or unreadable, or holds fewer than two classes.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise DataError(
            f"{folder}: {error.strerror}; dataset.root must be a folder that holds {LAYOUT}"
        ) from error
    names = [name for name in names if not name.startswith(".")]
    if len(names) < 2:
        raise DataError(
            f"{folder}: holds {len(names)} class folders, at least 2 are needed; "
            f"dataset.root must hold {LAYOUT}"
        )
    return tuple(names)


def _list_part(folder: Path, part: str, class_names: tuple[str, ...]) -> Files:
    _check_same_classes(folder, part, class_names)
    found = [_list_class(folder / part / name) for name in class_names]
    empty = [path for images in found for path, size in images if size == 0]
    if empty:
        told = f"{empty[0]}: an empty file"
        if len(empty) == 1:
            raise DataError(f"{told}; replace or remove it")
        told += f", and {len(empty) - 1} more ({some_of(empty[1:])})"
        raise DataError(f"{told}; replace or remove them")
    paths, sizes = zip(*(image for images in found for image in images), strict=True)
    return Files(
        root=str(folder),
        paths=np.array([os.fsencode(os.path.relpath(path, folder)) for path in paths]),
        sizes=np.array(sizes, dtype=np.int64),
        labels=np.repeat(np.arange(len(found)), [len(images) for images in found]),
    )


def _check_same_classes(folder: Path, part: str, class_names: tuple[str, ...]) -> None:
    unlike = sorted(set(list_classes(folder / part)) ^ set(class_names))
    if unlike:
        where = "train" if unlike[0] in class_names else part
        raise DataError(
            f"{folder / part}: other classes than in {folder / 'train'}; "
            f"'{unlike[0]}' is only in {where}/; make the class folders equal"
        )


def _list_class(folder: Path) -> list[tuple[str, int]]:
    try:
        images = list(_images_below(str(folder)))
    except OSError as error:
        raise DataError(
            f"{error.filename}: {error.strerror}; make it readable or remove it"
        ) from error
    if not images:
        raise DataError(
            f"{folder}: no image in this class folder ({', '.join(SUFFIXES)}); "
            "add some, or remove the folder from every part"
        )
    return images


def _images_below(folder: str) -> Iterator[tuple[str, int]]:
    """Path and size of every image file, in the order of their names."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                yield from _images_below(entry.path)
            elif entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith("."):
                yield entry.path, entry.stat().st_size
