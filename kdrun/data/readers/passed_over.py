"""Names that a scan of image folders passes over, and the line that tells of them."""

import os
from collections import Counter

from kdrun.errors import some_of

SYSTEM = {
    *("#recycle", "#snapshot", "$recycle.bin", "recycler", "recycled", "@recycle", "@eadir"),
    *("@recently-snapshot", "__macosx", "lost+found", "system volume information"),
    *("network trash folder", "temporary items"),
}
"""Folders of file servers and operating systems, in small letters."""


def hidden(name: str) -> bool:
    """Whether the name is hidden, or a system's own folder such as its trash."""
    return name.startswith(".") or name.casefold() in SYSTEM


class PassedOver:
    """Count of the files, and names of the folders, that a scan has passed over."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.folders: list[str] = []

    def file(self, name: str) -> None:
        """Count a file by its suffix."""
        suffix = os.path.splitext(name)[1].lower() or "without a suffix"
        self.files["hidden" if hidden(name) else shown(suffix)] += 1

    def folder(self, path: str) -> None:
        """Note a hidden folder or a system's."""
        self.folders.append(shown(path))

    def lines(self) -> tuple[str, ...]:
        """`passed over 8 files (5 .heic, 3 .txt)`; nothing where there was none."""
        told = []
        if self.files:
            ordered = sorted(self.files.items(), key=lambda item: (-item[1], item[0]))
            counts = [f"{count:,} {suffix}" for suffix, count in ordered]
            total = self.files.total()
            told.append(f"{total:,} file{'s' * (total > 1)} ({some_of(counts)})")
        if self.folders:
            plural = "s" * (len(self.folders) > 1)
            names = some_of(self.folders, 3)
            told.append(f"{len(self.folders):,} hidden or system folder{plural} ({names})")
        return (f"passed over {' and '.join(told)}",) if told else ()


def shown(name: str) -> str:
    """The name as it can be printed, whatever bytes it is made of."""
    text = os.fsencode(name).decode(errors="replace")
    return text if text.isprintable() else ascii(text)[1:-1]
