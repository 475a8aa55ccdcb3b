"""A training step never waits for its device.

Tensors on torch's meta device hold no data: `.item()`, a branch on a value, and the way to the host
all raise, and so does an operation between two devices. On CUDA torch itself tells who waits.
"""

import copy
from dataclasses import replace

import pytest
import torch

from kdrun.data.memory_split import MemorySplit
from kdrun.data.normalizer import Normalizer
from kdrun.plan.build import build_plan
from kdrun.runs.prepare import make_context, make_stage_runs
from kdrun.signals import StopRequest
from kdrun.teachers.teacher import Teacher
from kdrun.training.interleaving import run_to_end
from kdrun.training.loop import train_epoch
from kdrun.training.setup import make_loop_settings, make_objective, make_train_state
from kdrun.training.stage_model import build, normalization

META = torch.device("meta")
QUICK = (
    *("teacher=resnet20", "student=resnet8", "dataset=fake", "dataset.num_images=128"),
    *("train.batch_size=16", "chain.control=false", "cache.mode=off"),
    *("train.precision=fp32", "train.device=cpu"),
)
LOSSES = (
    *("kd", "[kd,hint]", "[kd,attention]", "[kd,rkd]", "[kd,hint,attention,rkd]", "dkd", "dist"),
    *("nkd", "wsl", "standardized", "mimic", "hard"),
)
OPTIONS = {
    "T=100": ["loss.T=100"],
    "T=inf": ["loss.T=inf"],
    "learned T": ["temperature=learned"],
    "closed form": ["loss=[kd,hint]", "loss.hint.projection=closed_form"],
    "mixup": ["train.mixup=0.2"],
    "cutmix": ["train.cutmix=1"],
    "smoothing": ["loss.label_smoothing=0.1"],
    "average": ["train.ema=0.99"],
    "clipped": ["train.grad_clip=1"],
    "adamw": ["train.optimizer=adamw"],
    "accumulated": ["train.accumulate=2"],
}
CASES = {name: [f"loss={name}"] for name in LOSSES} | OPTIONS
EVERY = pytest.mark.parametrize("options", CASES.values(), ids=CASES)


@pytest.fixture
def prepared(make_config):
    """Overrides -> setting and jobs, on the CPU."""

    def prepared(*overrides):
        config = make_config(*QUICK, *overrides)
        context = make_context(config, StopRequest())
        return context, make_stage_runs(build_plan(config), {None: context})

    return prepared


def parts_on(device, context, stage_runs):
    """What the student's stage trains with."""
    with torch.device(device):
        networks = [build(stage_run.stage, context.data.shape, None) for stage_run in stage_runs]
        normalizer = Normalizer(**normalization(context.data, None))
    example = next(iter(context.data.train.batches(2))).images
    teacher = Teacher("resnet20", "", networks[0], normalizer, context.autocast, example)
    stage = stage_runs[1].stage
    with torch.device(device):
        objective, wanted = make_objective(stage, networks[1], [teacher], normalizer, context)
    training = make_train_state(stage, networks[1], objective, context)
    training.batch = 1  # in the first batch of an epoch the gradients of the terms are compared
    return training, make_loop_settings(stage, context, normalizer, [teacher], training, wanted)


class NoReader:
    """Reads nothing: copies on their way to the host are no part of a step."""

    def __init__(self, device):
        pass

    def poll(self, sums):
        return None


@EVERY
def test_a_step_asks_the_device_for_no_value(prepared, options, monkeypatch):
    context, stage_runs = prepared(*options)
    train = context.data.train
    images = torch.cat([batch.images for batch in train.batches(64)]).permute(0, 2, 3, 1)
    # Folding compares what it made with what it had, on the host.
    monkeypatch.setattr(
        "kdrun.teachers.teacher.fold_batchnorm", lambda m, *given, **kept: copy.deepcopy(m)
    )
    monkeypatch.setattr("kdrun.training.loop.NonBlockingReader", NoReader)
    split = MemorySplit(images.contiguous(), train.labels.clone(), META)
    context = replace(context, device=META, data=replace(context.data, train=split, test=split))
    training, settings = parts_on(META, context, stage_runs)
    batches = split.train_batches(16, seed=0, view=0, augment="crop_flip")
    assert run_to_end(train_epoch(training, settings, batches, 3, lambda images, means: True))
    assert training.update == -(-3 // settings.accumulate)
    assert {p.grad is None for p in training.parameters()} == {True}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@EVERY
def test_no_step_waits_for_cuda(prepared, options, precision):
    wanted = ["train.device=cuda", f"train.precision={precision}"]
    context, stage_runs = prepared(*options, *wanted)
    training, settings = parts_on(context.device, context, stage_runs)
    batches = context.data.train.train_batches(16, seed=0, view=0, augment="crop_flip")
    steps = train_epoch(training, settings, batches, 8, lambda images, means: True)
    for _ in range(3):  # the first update sets things up
        next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        run_to_end(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")
