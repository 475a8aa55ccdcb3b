"""Lines of progress while image files are hashed."""

import time
from collections.abc import Callable

FIRST_WORD, NEXT_WORD = 3.0, 15.0  # seconds until the first line, and from one to the next

Say = Callable[[str], None]


class Progress:
    """Lines about the hashing of many files; of few nothing is said."""

    def __init__(self, say: Say, total: int, size: int) -> None:
        self.say = say
        self.total, self.size = total, size
        self.images = 0
        self.began = time.monotonic()
        self.next = self.began + FIRST_WORD
        self.spoke = False

    def tell(self, read: int) -> None:
        """Say how many images and bytes were read, where it is time to."""
        if time.monotonic() < self.next:
            return
        if not self.spoke:
            self.say("the images are read once, so that they are known by their content")
        done = f"{self.images:,} of {self.total:,} images, {read / 1e9:.2f} of"
        self.say(f"read {done} {self.size / 1e9:.2f} GB")
        self.spoke, self.next = True, time.monotonic() + NEXT_WORD

    def end(self) -> None:
        """Say how long it took, where anything was said."""
        if self.spoke:
            self.say(f"read {self.images:,} images in {time.monotonic() - self.began:.0f} s")
