"""Class folders of an image folder, and their names. Imports no torch."""

import os
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kdrun.data.readers.folder_layout import LAYOUT, Layout
from kdrun.data.readers.passed_over import hidden, shown
from kdrun.errors import DataError


def composed(name: str) -> str:
    """The name with accents in one code point with their letter (NFC)."""
    return unicodedata.normalize("NFC", name)


FORMS: dict[str, Callable[[str], str]] = {
    "their Unicode form": composed,
    "upper and lower case": lambda name: composed(name).casefold(),
    "spaces": lambda name: "".join(composed(name).split()).casefold(),
    "the width of their letters": lambda name: unicodedata.normalize("NFKC", name).casefold(),
}
"""Functions that make equal what looks alike; names differ by the first that makes them equal."""


def list_classes(folder: Path) -> tuple[str, ...]:
    """The sorted names of the class folders of a part, without hidden and system folders.

    Raises:
        DataError: the folder is unreadable or holds fewer than two classes, or a name is not UTF-8
            or equal to another.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry_is_folder(entry))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; make it readable") from error
    names = [name for name in names if not hidden(name)]
    if len(names) < 2:
        raise DataError(
            f"{folder}: holds {len(names)} class folders, at least 2 are needed; "
            f"dataset.root must hold {LAYOUT}"
        )
    check_names(folder, names)
    return tuple(names)


def entry_is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether the entry is a folder or a link to one.

    Raises:
        DataError: a link that leads nowhere or round in a circle, unless hidden.
    """
    try:
        if not entry.is_symlink() or os.path.exists(entry.path) or hidden(entry.name):
            return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
    except OSError as error:
        raise DataError(f"{entry.path}: {error.strerror}; make it readable or remove it") from error
    target = shown(os.readlink(entry.path))
    raise DataError(
        f"{entry.path}: a link to {target}, which leads nowhere; correct or remove the link"
    )


def check_names(folder: Path, names: Sequence[str]) -> None:
    """Check the names of the classes of one part.

    Raises:
        DataError: a name is not UTF-8, or two differ in their Unicode form only.
    """
    for name in names:
        if not _is_utf8(name):
            place = folder / name
            raise DataError(
                f"{shown(str(place))}: the name of this class is not UTF-8; rename it in every "
                f"part, such as: mv {quoted(place)} {quoted(folder / _from_latin1(name))}"
            )
    for one, other, form in alike(names, names):
        if form == "their Unicode form":
            kept, given = sorted((one, other), key=lambda name: name != composed(name))
            raise DataError(
                f"{folder}: two classes named '{composed(one)}' differ in their Unicode form only; "
                f"make them one, in every part: {merging(folder / kept, folder / given)}"
            )


def same_class_names(layout: Layout, part: str, class_names: Sequence[str]) -> None:
    """Check that a part has the classes of train/.

    Raises:
        DataError: other classes; names one, and how to rename it if only its form differs.
    """
    train, folder = layout.folder("train"), layout.folder(part)
    names = list_classes(folder)
    unlike = sorted(set(names) ^ set(class_names))
    if not unlike:
        return
    pairs = alike([one for one in class_names if one in unlike], names)
    extra = alike([one for one in names if one in unlike], class_names)
    pairs += [(ours, theirs, form) for theirs, ours, form in extra if ours not in unlike]
    if pairs:
        ours, theirs, form = pairs[0]
        more = f" (and {len(pairs) - 1} more like it)" if len(pairs) > 1 else ""
        raise DataError(
            f"{folder}: class '{theirs}' differs from '{ours}' of {train} only in {form}{more}; "
            f"{renaming(folder / theirs, folder / ours, taken=ours in names)}"
        )
    where = layout.parts["train" if unlike[0] in class_names else part]
    raise DataError(
        f"{folder}: other classes than in {train}; '{unlike[0]}' is only in {where}/ "
        f"({len(unlike)} differ); make the class folders equal"
    )


def likeness_notes(class_names: Sequence[str]) -> list[str]:
    """A line for classes that differ in case, spaces or width only, which may be intended."""
    pairs = alike(class_names, class_names)
    if not pairs:
        return []
    one, other, form = pairs[0]
    more = f" (and {len(pairs) - 1} more pairs like it)" if len(pairs) > 1 else ""
    return [
        f"classes '{one}' and '{other}' differ only in {form}{more}: if they are one class, move "
        "the images into one folder, in every part"
    ]


def alike(names: Iterable[str], others: Sequence[str]) -> list[tuple[str, str, str]]:
    """Pairs of a name and another that looks like it, once each, with what they differ in."""
    found: dict[frozenset[str], tuple[str, str, str]] = {}
    names = list(names)
    for form, simple in FORMS.items():
        groups: dict[str, list[str]] = {}
        for other in others:
            groups.setdefault(simple(other), []).append(other)
        for name in names:
            for other in groups.get(simple(name), []):
                if other != name:
                    found.setdefault(frozenset((name, other)), (name, other, form))
    return list(found.values())


def renaming(source: Path, target: Path, *, taken: bool) -> str:
    """The instruction to rename or merge a folder, as a shell command."""
    if taken:
        return f"move its images there: {merging(target, source)}"
    return f"rename it: mv {quoted(source)} {quoted(target)}"


def merging(kept: Path, other: Path) -> str:
    """The shell command that moves what is in a folder to another, without overwriting."""
    return f"mv -n {quoted(other)}/* {quoted(kept)}/ && rmdir {quoted(other)}"


def quoted(path: Path) -> str:
    """The path for a shell; bytes that look alike or cannot be shown are escaped."""
    text = str(path)
    if text.isascii() and text.isprintable():
        return shlex.quote(text)
    escaped = {ord("\\"): "\\\\", ord("'"): "\\'"}
    plain = "".join(
        chr(byte).translate(escaped) if 32 <= byte < 127 else f"\\x{byte:02x}"
        for byte in os.fsencode(text)
    )
    return f"$'{plain}'"


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_latin1(name: str) -> str:
    """The name read as the code page of Western Europe, as older archives have it."""
    return os.fsencode(name).decode("cp1252", errors="replace")
