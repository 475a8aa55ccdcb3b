"""Whole runs on CUDA: what holds on a CPU holds there too, with train.deterministic=true.

The same on a CPU, so that the tests themselves are tried where there is no CUDA device.
"""

import math

import pytest
import torch

from kdrun.errors import Stopped
from kdrun.runs.resume import resume_run
from kdrun.runs.runner import run
from kdrun.store.files import read_json_lines
from tests.runs.lockstep.test_group import assert_same, stages
from tests.runs.test_resume import same

QUICK = (
    *("teacher=convnet", "teacher.width=8", "student=resnet8", "train.epochs=2", "analysis=off"),
    *("train.batch_size=64", "dataset.limit=500", "teacher.min_accuracy=0", "chain.control=false"),
    "train.deterministic=true",
)
CUDA = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def on_each(first, *others):
    """The first case on a CPU and on CUDA, the others on CUDA alone."""
    return [
        pytest.param("cpu", first, marks=pytest.mark.slow, id=f"cpu-{first}"),
        *(pytest.param("cuda", one, marks=CUDA, id=f"cuda-{one}") for one in (first, *others)),
    ]


LOSSES = pytest.mark.parametrize(
    ("device", "loss"), on_each("[kd,hint,attention,rkd]", "kd", "[kd,hint]", "[kd,rkd]", "dkd")
)
PRECISIONS = pytest.mark.parametrize(("device", "precision"), on_each("bf16", "fp32", "fp16"))


@pytest.fixture
def do(make_config, tmp_path):
    """Run the first of several jobs on a device, the others with it; returns the folder."""

    def do(device, *jobs, root="outputs", name="run", common=()):
        words = (*QUICK, f"train.device={device}", f"output_root={tmp_path / root}", *common)
        first, *others = [make_config(*words, *job) for job in jobs]
        siblings = [(f"job {n}", config) for n, config in enumerate(others, 1)]
        run(first, tmp_path / root / name, jobs[0], lambda: iter(siblings))
        return tmp_path / root / name

    yield do
    torch.use_deterministic_algorithms(False)


@PRECISIONS
def test_stored_outputs_change_no_bit(do, device, precision):
    common = (f"train.precision={precision}",)
    live = do(device, ["cache.mode=off"], root="live", common=common)
    filled = do(device, [], root="stored", common=common)
    # Another student with the same teacher finds the page; its weights are those of a live run.
    found = do(device, ["loss=dkd"], root="stored", name="found", common=common)
    alone = do(device, ["loss=dkd", "cache.mode=off"], root="alone", common=common)
    same(live, filled)
    assert weights_of(found) == weights_of(alone)


def weights_of(folder):
    (stage,) = folder.glob("stages/*-student-*")
    return (stage / "best.safetensors").read_bytes()


@LOSSES
def test_a_stopped_run_ends_as_if_never_stopped(do, stop_at, monkeypatch, device, loss):
    words = [f"loss={loss}", "train.ema=0.9", "train.grad_clip=1"]
    whole = do(device, words, root="whole")
    stop_at(updates=20)
    with pytest.raises(Stopped):
        do(device, words, root="stopped")
    monkeypatch.undo()
    folder = whole.parent.parent / "stopped" / "run"
    resume_run(folder, [])
    same(folder, whole)


@LOSSES
def test_students_in_lockstep_end_as_by_themselves(do, device, loss):
    jobs = [[f"loss={loss}", f"loss.T={T}"] for T in (2, 4)]
    together = do(device, *jobs, root="together", common=["train.lockstep=2"]).parent / "store"
    for number, job in enumerate(jobs):
        alone = do(device, job, root="alone", name=f"run{number}").parent / "store"
    assert stages(together) == stages(alone)
    assert_same(together, alone, stages(alone))


@PRECISIONS
@pytest.mark.parametrize("options", [[], ["train.optimizer=adamw", "train.lr=1e-3"]])
def test_every_precision_trains(do, device, options, precision):
    words = ["loss=[kd,hint,attention,rkd]", "train.epochs=6", "train.ema=0.9", *options]
    folder = do(device, words, common=[f"train.precision={precision}"])
    lines = read_json_lines(folder / "metrics.jsonl")
    losses = [line["loss"] for line in lines if line["role"] == "student"]
    assert losses[-1] < losses[0]
    for line in lines:
        assert math.isfinite(line["loss"])
        assert (line["gradient_norm"] is None) == (precision == "fp16")
        assert (line["memory_mb"] is None) == (device == "cpu")
