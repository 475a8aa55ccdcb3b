from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kdrun.catalog.datasets import DatasetOptions, dataset_options
from kdrun.data.dataset import ImageData
from kdrun.data.load import load_dataset
from kdrun.data.splitting import SplitOptions

CLASSES = ("bird", "cat", "dog")


def write_pictures(root: Path, counts: dict[str, int], size: tuple[int, int] = (40, 52)) -> Path:
    """Random JPEGs, `counts[part]` of each class; returns the root."""
    generator = np.random.default_rng(7)
    for part, count in counts.items():
        for name in CLASSES:
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                coarse = generator.integers(0, 256, (5, 6, 3), np.uint8)
                picture = Image.fromarray(coarse).resize((size[1] + number, size[0]))
                picture.save(folder / f"{number}.jpg", quality=95)
    return root


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of eleven training and three validation JPEGs. Not to be changed."""
    return write_pictures(tmp_path_factory.mktemp("pictures"), {"train": 11, "val": 3})


def options(name: str, **given: Any) -> DatasetOptions:
    """The data set with options that a section `dataset` would have, the others off."""
    off = {"root": None, "image_size": None, "download": False, "range": None}
    made_up = {"num_classes": 10, "num_images": 2000, "channels": 3}
    return dataset_options(SimpleNamespace(name=name, **(off | made_up | given)))


@pytest.fixture
def load() -> Callable[..., ImageData]:
    """`load_dataset` with everything off, on the CPU."""
    off = {"limit": None, "val_fraction": 0.0, "label_noise": 0.0, "seed": 0}
    place = {"device": torch.device("cpu"), "workers": 0, "identified": True}

    def load_with(name: str, **given: Any) -> ImageData:
        own = {key: value for key, value in given.items() if key not in {*off, *place}}
        split = SplitOptions(**{key: given.get(key, value) for key, value in off.items()})
        rest = {key: given.get(key, value) for key, value in place.items()}
        return load_dataset(options(name, **own), split, **rest)

    return load_with
