"""One more row of each table, as a developer adds it: its code here, its row below.

    python -m tests.catalog.additions [WORDS OF KDRUN]

is `kdrun` with them. Nothing else of the package knows of them.
"""

import sys
from dataclasses import replace

import numpy as np

from kdrun.catalog.architectures import ARCHITECTURES, Architecture
from kdrun.catalog.chains import CHAIN_METHODS, ChainMethod
from kdrun.catalog.datasets import DATASETS, DatasetRow, ImageShape
from kdrun.catalog.loggers import LOGGERS, LoggerRow
from kdrun.catalog.optimizers import OPTIMIZERS, OptimizerRow
from kdrun.catalog.options import real, whole
from kdrun.catalog.schedules import (
    RATE_SCHEDULES,
    TEMPERATURE_METHODS,
    TEMPERATURE_SCHEDULES,
    RateSchedule,
    TemperatureMethod,
    TemperatureSchedule,
)
from kdrun.catalog.term_row import Reads, Term
from kdrun.catalog.terms import TERMS, weight

HERE = "tests.catalog.additions"


def linear_net(*, num_classes, in_channels, image_size, scale):
    """A linear classifier of scaled pixels."""
    from torch import nn

    class LinearNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(in_channels * image_size**2, num_classes)

        def forward(self, x):
            return self.fc(x.flatten(1) * scale)

    return LinearNet()


def read_stripes(*, stripes):
    """Grey 6 x 6 images whose bright column or row is their class, `stripes` of each class."""
    from kdrun.data.source import Images, Source

    def part(seed):
        labels = np.arange(12 * stripes) % 12
        pixels = np.random.default_rng(seed).integers(0, 60, (len(labels), 6, 6, 1), np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            (image if label < 6 else image.swapaxes(0, 1))[label % 6] += 150
        return Images(pixels, labels)

    return Source(part(0), None, part(1), tuple(f"stripe {number}" for number in range(12)))


def root(start, progress, epoch, *, power):
    """From start, ever more slowly, to 1."""
    return start ** (1 - progress ** (1 / power))


def part_of_the_guideline(found, *, part):
    """A temperature between 1 and the guideline's."""
    return 1 + part * (found.measures["guideline"] - 1), {}


def triangle(progress, *, summit):
    """Up to the summit and down again."""
    return progress / summit if progress < summit else (1 - progress) / (1 - summit)


def adam(parameters, *, lr, weight_decay, fused, beta):
    """Adam with one decay for both of its averages."""
    from torch.optim import Adam

    return Adam(parameters, lr=lr, betas=(beta, beta), weight_decay=weight_decay, fused=fused)


def plan_patient(config, sizes):
    """Teacher and a student that is trained `patience` times as long, without a control."""
    from kdrun.plan.teacher_chain import taught

    teacher, student, *_ = taught(config, [])
    epochs = config.chain.patience * student.train.epochs
    return [teacher, replace(student, train=replace(student.train, epochs=epochs))]


class Lines:
    """A sink that writes a line an epoch."""

    def __init__(self, folder, config):
        self.file = (folder / "lines.txt").open("w")

    def log(self, values, epoch):
        """Write how many numbers an epoch has."""
        self.file.write(f"{epoch} {len(values)}\n")

    def close(self):
        """Close the file."""
        self.file.close()


def register():
    """Add the rows."""
    ARCHITECTURES["linear_net"] = Architecture(
        code=f"{HERE}:linear_net", arguments={"scale": 2.0}, image_size=True
    )
    DATASETS["stripes"] = DatasetRow(
        code=f"{HERE}:read_stripes",
        options={"stripes": whole(20, "stripes: images of each class", 4, 1000)},
        shape=ImageShape(12, 1, 6),
    )
    TEMPERATURE_SCHEDULES["root"] = TemperatureSchedule(
        code=f"{HERE}:root", options={"power": real(2.0, "root: how much it slows down", 1, 9)}
    )
    TEMPERATURE_METHODS["part"] = TemperatureMethod(
        code=f"{HERE}:part_of_the_guideline", options={"part": real(0.5, "part: of the way", 0, 1)}
    )
    RATE_SCHEDULES["triangle"] = RateSchedule(
        code=f"{HERE}:triangle", options={"summit": real(0.5, "triangle: where it turns", 0, 1)}
    )
    OPTIMIZERS["adam"] = OptimizerRow(
        code=f"{HERE}:adam", options={"beta": real(0.9, "adam: decay of averages", 0, 1)}, states=2
    )
    CHAIN_METHODS["patient"] = ChainMethod(
        code=f"{HERE}:plan_patient",
        options={"patience": whole(2, "patient: factor of the epochs", 1, 9)},
        last_stage=lambda chain: 1,
    )
    TERMS["memory"] = Term(
        code="tests.catalog.memory_term:MemoryTerm",
        label="memory",
        paper="made up, 2026",
        reads=Reads.HIDDEN | Reads.INDICES | Reads.TEACHER_HEAD,
        options={"weight": weight(), "rise": whole(1, "epochs of its rise", 1, 9)},
    )
    LOGGERS["lines"] = LoggerRow(code=f"{HERE}:Lines")


if __name__ == "__main__":
    register()
    from kdrun.cli import main

    main(sys.argv[1:])
