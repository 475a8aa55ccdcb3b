"""Files and folders skipped by a scan of image folders, and their report line."""

import os
from collections import Counter

from kdrun.errors import some_of

SYSTEM = {
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "recycler",
    "recycled",
    "@recycle",
    "@eadir",
    "@recently-snapshot",
    "__macosx",
    "lost+found",
    "system volume information",
    "network trash folder",
    "temporary items",
}
"""Folders of file servers and operating systems, in lower case."""


def hidden(name: str) -> bool:
    """Whether the name is hidden or a system folder, such as the trash."""
    return name.startswith(".") or name.casefold() in SYSTEM


class PassedOver:
    """Counts of the files and names of the folders skipped by a scan."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.folders: list[str] = []

    def file(self, name: str) -> None:
        """Count a file by its suffix."""
        suffix = os.path.splitext(name)[1].lower() or "without a suffix"
        self.files["hidden" if hidden(name) else shown(suffix)] += 1

    def folder(self, path: str) -> None:
        """Record a hidden or system folder."""
        self.folders.append(shown(path))

    def lines(self) -> tuple[str, ...]:
        """`skipped 8 files (5 .heic, 3 .txt)`; empty if nothing was skipped."""
        skipped = []
        if self.files:
            ordered = sorted(self.files.items(), key=lambda item: (-item[1], item[0]))
            counts = [f"{count:,} {suffix}" for suffix, count in ordered]
            total = self.files.total()
            skipped.append(f"{total:,} file{'s' * (total > 1)} ({some_of(counts)})")
        if self.folders:
            plural = "s" * (len(self.folders) > 1)
            names = some_of(self.folders, 3)
            skipped.append(f"{len(self.folders):,} hidden or system folder{plural} ({names})")
        return (f"skipped {' and '.join(skipped)}",) if skipped else ()


def shown(name: str) -> str:
    """The printable form of a name with arbitrary bytes."""
    text = os.fsencode(name).decode(errors="replace")
    return text if text.isprintable() else ascii(text)[1:-1]
