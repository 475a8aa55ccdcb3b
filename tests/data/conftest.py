from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kdrun.data.dataset import ImageData
from kdrun.data.load import load_dataset

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


@pytest.fixture
def load() -> Callable[..., ImageData]:
    """`load_dataset` with everything off, on the CPU."""
    plain: dict[str, Any] = {
        "root": None,
        "image_size": None,
        "download": False,
        "val_fraction": 0.0,
        "limit": None,
        "label_noise": 0.0,
        "seed": 0,
        "device": torch.device("cpu"),
        "workers": 0,
    }

    def load_with(name: str, **changes: Any) -> ImageData:
        return partial(load_dataset, **(plain | changes))(name)

    return load_with
