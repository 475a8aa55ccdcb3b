"""The pairs that are timed, and what kdrun makes of each: the parts of a real stage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from torch import nn

from kdrun.config.compose import compose_job
from kdrun.config.parse import parse
from kdrun.data.normalizer import Normalizer
from kdrun.device import place
from kdrun.loggers.console import Reporter
from kdrun.plan.build import build_plan
from kdrun.runs.prepare import make_context, make_stage_runs
from kdrun.signals import stop_requests
from kdrun.teachers.teacher import Teacher
from kdrun.training.context import RunContext, StageRun
from kdrun.training.stage_model import build, normalization


@dataclass(frozen=True)
class Pair:
    """A teacher, a student, and the images that they are shown.

    Attributes:
        batch_size: of a step on a CPU.
        gpu_batch_size: of a step on a GPU.
        steps: of a turn by default.
        batches: of an epoch.
    """

    teacher: str
    student: str
    image_size: int
    classes: int
    batch_size: int
    gpu_batch_size: int
    steps: int
    batches: int

    @property
    def name(self) -> str:
        """`resnet20->resnet8`."""
        return f"{self.teacher}->{self.student}"


PAIRS = {
    pair.name: pair
    for pair in (
        Pair("resnet32x4", "resnet8x4", 32, 100, 128, 128, steps=1, batches=12),
        Pair("resnet20", "resnet8", 32, 100, 128, 128, steps=5, batches=48),
        Pair("resnet50", "resnet18", 224, 10, 8, 64, steps=1, batches=12),
    )
}


@dataclass(frozen=True)
class Parts:
    """What kdrun works with in a student's stage; the teacher is untrained.

    Attributes:
        setting: data, device, precision.
        job: the student's stage.
        teacher_job: the teacher's.
        normalizer: of the images.
    """

    context: RunContext
    stage_run: StageRun
    teacher_job: StageRun
    normalizer: Normalizer

    @property
    def batch_size(self) -> int:
        """Images of a step."""
        return self.stage_run.stage.train.batch_size

    def network(self, stage_run: StageRun, channels_last: bool | None = None) -> nn.Module:
        """A fresh network of the job's stage on the device, always with the same weights."""
        network = build(stage_run.stage, self.context.data.shape, None)
        layout = stage_run.stage.train.channels_last if channels_last is None else channels_last
        return place(network, self.context.device, layout)

    def teacher(self, kept: int = 0) -> Teacher:
        """The teacher as a stage is handed it; `kept` are the passes whose outputs it keeps."""
        return Teacher(
            self.teacher_job.stage.model.arch,
            self.teacher_job.digest,
            self.network(self.teacher_job),
            self.normalizer,
            self.context.autocast,
            next(iter(self.context.data.train.batches(2))).images,
            kept,
        )


@contextmanager
def prepared(
    pair: Pair,
    *,
    device: torch.device,
    precision: str,
    cache: str,
    seed: int,
    options: Sequence[str] = (),
) -> Iterator[Parts]:
    """The parts of a run of the pair, in a folder that is removed afterwards.

    Args:
        cache: on or off.
        options: more of the command line.
    """
    batch_size = pair.gpu_batch_size if device.type == "cuda" else pair.batch_size
    with (
        TemporaryDirectory(prefix="kdrun-speed-") as folder,
        stop_requests() as stop,
        Path("/dev/null").open("w") as nowhere,
    ):
        overrides = [
            *("dataset=fake", f"dataset.num_classes={pair.classes}", "dataset.val_fraction=0"),
            f"dataset.image_size={pair.image_size}",
            f"dataset.num_images={pair.batches * batch_size}",
            *("dataset.augment=crop_flip", f"teacher={pair.teacher}", f"student={pair.student}"),
            *(f"train.batch_size={batch_size}", f"train.device={device}", f"train.seed={seed}"),
            *(f"train.precision={precision}", "train.epochs=100", f"output_root={folder}"),
            *(f"cache.mode={cache}", "cache.dtype=float32", "cache.views=1"),
            *options,
        ]
        config = parse(compose_job(overrides))
        context = make_context(config, stop)
        # A terminal, so that the bar is drawn as for a person who looks on.
        console = Console(file=nowhere, force_terminal=True, width=100)
        context = RunContext(**vars(context) | {"reporter": Reporter(console)})
        teacher, student = make_stage_runs(build_plan(config), {None: context})[:2]
        student.folder.mkdir(parents=True)
        normalizer = Normalizer(**normalization(context.data, None)).to(device)
        yield Parts(context, student, teacher, normalizer)
