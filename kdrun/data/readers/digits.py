"""Reader of scikit-learn's digits."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from kdrun.data.counter_random import RandomStream, host_generator
from kdrun.data.source import Images, Source
from kdrun.data.splitting import stratified


def read_digits() -> Source[Images]:
    """Read 1797 handwritten digits, 8 x 8 grey; a fixed quarter of them is the test set."""
    table = _digits_table()
    pixels = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, -1].astype(np.int64)
    # Not the run's seed: the test set is the same for all runs.
    test = stratified(labels, round(len(labels) / 4), host_generator(0, RandomStream.DIGITS))
    train = np.delete(np.arange(len(labels)), test)
    images = Images(pixels, labels)
    return Source(
        train=images.take(train),
        validation=None,
        test=images.take(test),
        class_names=tuple("0123456789"),
    )


def _digits_table() -> np.ndarray:
    """(1797, 65): the pixels of each digit, 0 to 16, and its label."""
    found = find_spec("sklearn")
    assert found is not None
    assert found.origin is not None
    # Only the file: importing the package takes longer than the rest of the start-up.
    file = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.exists():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # noqa: PLC0415

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])
