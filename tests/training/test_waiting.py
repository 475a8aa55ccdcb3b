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
from kdrun.runs.prepare import make_jobs, make_setting
from kdrun.signals import StopRequest
from kdrun.teachers.teacher import Teacher
from kdrun.training.interleaving import drained
from kdrun.training.loop import train_epoch
from kdrun.training.setup import make_objective, make_recipe, make_training
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
        setting = make_setting(config, StopRequest())
        return setting, make_jobs(build_plan(config), {None: setting})

    return prepared


def parts_on(device, setting, jobs):
    """What the student's stage trains with."""
    with torch.device(device):
        networks = [build(job.stage, setting.data.shape, None) for job in jobs]
        normalizer = Normalizer(**normalization(setting.data, None))
    example = next(iter(setting.data.train.batches(2))).images
    teacher = Teacher("resnet20", "", networks[0], normalizer, setting.autocast, example)
    stage = jobs[1].stage
    with torch.device(device):
        objective, wanted = make_objective(stage, networks[1], [teacher], normalizer, setting)
    training = make_training(stage, networks[1], objective, setting)
    training.batch = 1  # in the first batch of an epoch the gradients of the terms are compared
    return training, make_recipe(stage, setting, normalizer, [teacher], training, wanted)


class NoReader:
    """Reads nothing: copies on their way to the host are no part of a step."""

    def __init__(self, device):
        pass

    def poll(self, sums):
        return None


@EVERY
def test_a_step_asks_the_device_for_no_value(prepared, options, monkeypatch):
    setting, jobs = prepared(*options)
    train = setting.data.train
    images = torch.cat([batch.images for batch in train.batches(64)]).permute(0, 2, 3, 1)
    # Folding compares what it made with what it had, on the host.
    monkeypatch.setattr(
        "kdrun.teachers.teacher.fold_batchnorm", lambda m, *given, **kept: copy.deepcopy(m)
    )
    monkeypatch.setattr("kdrun.training.loop.LaggedReader", NoReader)
    split = MemorySplit(images.contiguous(), train.labels.clone(), META)
    setting = replace(setting, device=META, data=replace(setting.data, train=split, test=split))
    training, recipe = parts_on(META, setting, jobs)
    batches = split.train_batches(16, seed=0, view=0, augment="crop_flip")
    assert drained(train_epoch(training, recipe, batches, 3, lambda images, means: True))
    assert training.update == -(-3 // recipe.accumulate)
    assert {p.grad is None for p in training.parameters()} == {True}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@EVERY
def test_no_step_waits_for_cuda(prepared, options, precision):
    wanted = ["train.device=cuda", f"train.precision={precision}"]
    setting, jobs = prepared(*options, *wanted)
    training, recipe = parts_on(setting.device, setting, jobs)
    batches = setting.data.train.train_batches(16, seed=0, view=0, augment="crop_flip")
    steps = train_epoch(training, recipe, batches, 8, lambda images, means: True)
    for _ in range(3):  # the first update sets things up
        next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        drained(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")
