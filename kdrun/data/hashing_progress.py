"""Progress lines during the hashing of image files."""

import time
from collections.abc import Callable

FIRST_WORD, NEXT_WORD = 3.0, 15.0  # seconds until the first line, and between lines

Say = Callable[[str], None]


class Progress:
    """Progress lines of the hashing; silent if it ends soon."""

    def __init__(self, say: Say, total: int, size: int) -> None:
        self.say = say
        self.total, self.size = total, size
        self.images = 0
        self.began = time.monotonic()
        self.next = self.began + FIRST_WORD
        self.spoke = False

    def tell(self, read: int) -> None:
        """Print the number of images and bytes read, at most one line per interval."""
        if time.monotonic() < self.next:
            return
        if not self.spoke:
            self.say("the images are read once, to identify them by their content")
        done = f"{self.images:,} of {self.total:,} images, {read / 1e9:.2f} of"
        self.say(f"read {done} {self.size / 1e9:.2f} GB")
        self.spoke, self.next = True, time.monotonic() + NEXT_WORD

    def end(self) -> None:
        """Print the total time, if any progress was printed."""
        if self.spoke:
            self.say(f"read {self.images:,} images in {time.monotonic() - self.began:.0f} s")
