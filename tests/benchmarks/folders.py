"""Images a second from a folder of JPEGs: kdrun's split against ImageFolder and DataLoader.

    python -m tests.benchmarks.folders [--images 2000] [--workers 2] [--json FILE]

Both decode in the same number of worker processes and make the same training views: a random
resized crop to 224 pixels, perhaps mirrored. The plain loader normalises in its workers and sends
floats; kdrun sends uint8 and normalises on the device, which is counted. On CUDA it resizes there
too, and is measured with resizing left to the workers as well. Passes over the folder alternate; a
pass that starts the workers is not counted. The folder is made up from a seed in a temporary place
and removed.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from kdrun.data.dataset import IMAGENET_MEAN, IMAGENET_STD
from kdrun.data.folder_split import FolderSplit
from kdrun.data.normalizer import Normalizer
from kdrun.data.readers.image_folders import read_class_folders
from kdrun.data.worker_processes import PREFETCH
from kdrun.device import resolve_device
from kdrun.runs.environment import environment
from kdrun.store.files import write_json
from tests.benchmarks.report import table_of
from tests.benchmarks.rounds import spread, synchronize

CLASSES = 10
COARSENESS = 16
PLAIN, OURS = "ImageFolder + DataLoader", "kdrun FolderSplit"
BY_WORKERS = f"{OURS}, resized by workers"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print a table, write JSON where asked; returns what was measured."""
    options = parsed(arguments)
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    with TemporaryDirectory(prefix="kdrun-folders-") as name:
        folder = Path(name)
        width, height = options.width, options.width * 3 // 4
        make_folder(folder, options.images, width, height, options.seed)
        passes = {
            PLAIN: plain_passes(folder, options, device),
            OURS: kdrun_passes(folder, options, device),
        }
        if device.type == "cuda":
            passes[BY_WORKERS] = kdrun_passes(folder, options, device, resize_on_device=False)
        rates = measured(passes, options.rounds, options.images, device)
    result = {
        "format": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(device, "uint8"),
        "images": options.images,
        "pixels": [height, width],
        "workers": options.workers,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "images_per_second": {name: spread(found) for name, found in rates.items()},
        "ratio": spread(
            [ours / plain for plain, ours in zip(rates[PLAIN], rates[OURS], strict=True)]
        ),
    }
    show(result)
    if options.json is not None:
        write_json(options.json, result)
        print(f"written to {options.json}")
    return result


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.folders",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--width", type=int, default=500, help="of an image; its height is 3/4")
    parser.add_argument("--image-size", type=int, default=224, help="of a crop")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def make_folder(folder: Path, images: int, width: int, height: int, seed: int) -> None:
    """`images` JPEGs to train on and a few to test, whose smooth noise compresses as photos do."""
    generator = np.random.default_rng(seed)
    for part, total in (("train", images), ("test", CLASSES)):
        for number in range(total):
            path = folder / part / f"class{number % CLASSES}" / f"{number:06}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            shape = (height // COARSENESS, width // COARSENESS, 3)
            coarse = Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8))
            coarse.resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)


def kdrun_passes(
    folder: Path,
    options: argparse.Namespace,
    device: torch.device,
    *,
    resize_on_device: bool | None = None,
) -> Iterator[Iterator[torch.Tensor]]:
    """The normalised batches of one pass after another."""
    files = read_class_folders("imagefolder", str(folder)).train
    labels = torch.from_numpy(files.labels)
    split = FolderSplit(
        files, labels, options.image_size, device, options.workers, resize_on_device
    )
    normalizer = Normalizer(IMAGENET_MEAN, IMAGENET_STD).to(device)
    for view in count():
        batches = split.train_batches(
            options.batch_size, seed=options.seed, view=view, augment="crop_flip"
        )
        yield (normalizer(batch.images) for batch in batches)


def plain_passes(
    folder: Path, options: argparse.Namespace, device: torch.device
) -> Iterator[Iterator[torch.Tensor]]:
    """The batches of one pass after another, as torchvision's examples load them."""
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(options.image_size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    workers: dict[str, Any] = {}
    if options.workers:
        workers = {"persistent_workers": True, "prefetch_factor": PREFETCH}
    loader = DataLoader(
        ImageFolder(str(folder / "train"), transform),
        batch_size=options.batch_size,
        shuffle=True,
        num_workers=options.workers,
        pin_memory=device.type == "cuda",
        **workers,
    )
    while True:
        yield (images.to(device, non_blocking=True) for images, _ in loader)


def measured(
    passes: dict[str, Iterator[Iterator[torch.Tensor]]],
    rounds: int,
    images: int,
    device: torch.device,
) -> dict[str, list[float]]:
    """Images a second in each round's pass, after one pass each that is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in passes}
    for number in range(-1, rounds):
        for name, one in passes.items():
            rate = images / seconds(lambda one=one: consume(next(one)), device)
            if number >= 0:
                rates[name].append(rate)
    return rates


def consume(batches: Iterator[torch.Tensor]) -> None:
    """Take them all."""
    for _ in batches:
        pass


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - began


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    height, width = result["pixels"]
    console = Console()
    console.print(
        f"{result['images']} JPEGs of {width}x{height}, {result['workers']} workers",
        highlight=False,
    )
    table = table_of("", "images/s", "quartiles")
    for name, found in result["images_per_second"].items():
        table.add_row(
            name, f"{found['median']:,.0f}", f"{found['lower']:,.0f} - {found['upper']:,.0f}"
        )
    console.print(table)
    found = result["ratio"]
    console.print(
        f"kdrun / plain: {found['median']:.2f} ({found['lower']:.2f} - {found['upper']:.2f})",
        highlight=False,
    )


if __name__ == "__main__":
    main()
