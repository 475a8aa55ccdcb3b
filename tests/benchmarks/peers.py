"""What people run instead: a plain torchvision loop, and torchdistill."""

import logging
import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from kdrun.device import autocast
from tests.benchmarks.bare import ALPHA, T, distillation
from tests.benchmarks.pairs import Parts
from tests.benchmarks.rounds import Contender, Mark

PREFETCH = 2


class Pictures(Dataset[tuple[Tensor, int]]):
    """The pair's images as PIL's, transformed one by one as torchvision's examples do it."""

    def __init__(self, parts: Parts) -> None:
        data = parts.context.data
        batches = list(data.train.batches(256))
        pixels = torch.cat([b.images for b in batches]).permute(0, 2, 3, 1).cpu().numpy()
        self.images = [Image.fromarray(np.ascontiguousarray(one)) for one in pixels]
        self.labels = data.train.labels.tolist()
        size = data.image_size
        self.transform = v2.Compose(
            [
                v2.RandomCrop(size, padding=size // 8),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def loader_options(parts: Parts, workers: int) -> dict[str, Any]:
    """Of the peers' data loaders."""
    options = {"batch_size": parts.batch_size, "num_workers": workers, "drop_last": True}
    if workers:
        options |= {"persistent_workers": True, "prefetch_factor": PREFETCH}
    return options | {"pin_memory": parts.context.device.type == "cuda"}


def endless(loader: DataLoader) -> Iterator[Any]:
    """Epoch after epoch."""
    while True:
        yield from loader


class PlainLoop:
    """Teacher and student in eager fp32, contiguous memory, torch's default optimizer."""

    def __init__(self, parts: Parts, pictures: Pictures, workers: int) -> None:
        self.device = parts.context.device
        self.teacher = parts.network(parts.teacher_job, channels_last=False).eval()
        self.student = parts.network(parts.stage_run, channels_last=False).train()
        self.optimizer = torch.optim.SGD(self.student.parameters(), **sgd(parts))
        self.batches = endless(DataLoader(pictures, shuffle=True, **loader_options(parts, workers)))

    def run(self, steps: int, mark: Mark) -> None:
        """Do so many steps."""
        for images, labels in islice(self.batches, steps):
            images = images.to(self.device, non_blocking=True)  # noqa: PLW2901
            labels = labels.to(self.device, non_blocking=True)  # noqa: PLW2901
            with torch.no_grad():
                targets = self.teacher(images)
            loss = distillation(self.student(images), targets, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            mark()


def sgd(parts: Parts) -> dict[str, Any]:
    """The optimizer's numbers, those of kdrun's stage."""
    options = parts.stage_run.stage.train
    return {
        "lr": options.lr,
        "momentum": options.momentum,
        "nesterov": options.nesterov,
        "weight_decay": options.weight_decay,
    }


class TorchdistillLoop:
    """torchdistill's own distillation box: its hooks, its loss, its update, its data loader."""

    def __init__(self, parts: Parts, pictures: Pictures, workers: int, precision: str) -> None:
        from torchdistill.core.distillation import get_distillation_box

        logging.getLogger("torchdistill").setLevel(logging.WARNING)
        self.device, self.precision = parts.context.device, precision
        teacher = parts.network(parts.teacher_job, channels_last=False).eval()
        student = parts.network(parts.stage_run, channels_last=False)
        self.box = get_distillation_box(
            teacher,
            student,
            {"train": pictures},
            box_config(parts, workers, head(teacher), head(student)),
            self.device,
            None,
            False,
            1,
        )
        self.box.pre_epoch_process(epoch=0)
        self.batches = endless(self.box.train_data_loader)

    def run(self, steps: int, mark: Mark) -> None:
        """Do so many steps."""
        for images, labels, supplement in islice(self.batches, steps):
            images = images.to(self.device, non_blocking=True)  # noqa: PLW2901
            labels = labels.to(self.device, non_blocking=True)  # noqa: PLW2901
            with autocast(self.device, self.precision):
                loss = self.box.forward_process(images, labels, supplement)
            self.box.post_forward_process(loss=loss)
            mark()


def head(network: nn.Module) -> str:
    """Path of the last linear layer."""
    return [p for p, module in network.named_modules() if isinstance(module, nn.Linear)][-1]


def box_config(parts: Parts, workers: int, teacher: str, student: str) -> dict[str, Any]:
    """As torchdistill's YAML for Hinton's distillation says it."""
    criterion = {
        "key": "KDLoss",
        "kwargs": {
            "student_module_path": student,
            "student_module_io": "output",
            "teacher_module_path": teacher,
            "teacher_module_io": "output",
            "temperature": T,
            "alpha": 1 - ALPHA,
            "reduction": "batchmean",
        },
    }
    return {
        "num_epochs": 1,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": torch.utils.data.RandomSampler, "kwargs": {}},
            "kwargs": loader_options(parts, workers),
        },
        "teacher": hooked(teacher) | {"requires_grad": False},
        "student": hooked(student),
        "optimizer": {"key": "SGD", "kwargs": sgd(parts)},
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": criterion, "weight": 1.0}}},
        },
    }


def hooked(path: str) -> dict[str, Any]:
    """A model that is given images alone and whose layer is watched."""
    return {"forward_proc": "forward_batch_only", "forward_hook": {"output": [path]}}


def torchdistill_is_here() -> bool:
    """Whether the peer is installed (`pip install kdrun[bench]`)."""
    return find_spec("torchdistill") is not None


def default_workers(device: torch.device) -> int:
    """None on a CPU, which they would take from the training itself."""
    return min(8, (os.cpu_count() or 2) - 1) if device.type == "cuda" else 0


def peer_contenders(parts: Parts, workers: int, precisions: Sequence[str]) -> list[Contender]:
    """The plain loop in fp32, and torchdistill, where it is installed, in each precision."""
    pictures = Pictures(parts)
    untimed = workers * PREFETCH + bool(workers)
    plain = PlainLoop(parts, pictures, workers)
    found = [Contender("plain torchvision loop", "fp32", plain.run, untimed=untimed)]
    for precision in precisions if torchdistill_is_here() else ():
        loop = TorchdistillLoop(parts, pictures, workers, precision)
        found.append(Contender("torchdistill", precision, loop.run, untimed=untimed))
    return found
