"""Teachers of few updates, by way of whole runs."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from kdrun.runs.runner import run
from kdrun.training.batchnorm_statistics import lagging

FEW = (
    *("teacher=resnet20", "student=mlp", "student.width=16", "train.epochs=1", "train.threads=1"),
    *("train.precision=fp32", "train.device=cpu", "analysis=off", "chain.control=false"),
    *("teacher.min_accuracy=0", "dataset.augment=none"),
)


@pytest.fixture
def do(make_config, tmp_path):
    def do(*overrides, root="outputs"):
        config = make_config(*FEW, f"output_root={tmp_path / root}", *overrides)
        summary = run(config, None, overrides)
        (stage,) = (tmp_path / root).glob("digits/*/*/stages/00-*")
        return summary, stage

    return do


def test_a_teacher_of_few_updates_is_used_with_the_statistics_of_its_own_weights(do, capsys):
    summary, stage = do()
    told = " ".join(capsys.readouterr().out.split())
    assert "BatchNorm averages lag after few updates and were re-estimated" in told
    accuracy = summary["stages"][0]["accuracy"]
    assert accuracy["best_validation"] > accuracy["last"] + 0.1
    (best,) = stage.glob("checkpoints/best-*.safetensors")
    raw, used = load_file(best), load_file(stage / "best.safetensors")
    changed = {name for name in raw if not torch.equal(raw[name], used[name])}
    assert changed
    assert all("running_" in name or "num_batches" in name for name in changed)
    again, other = do(root="again")
    assert again["stages"][0]["accuracy"] == accuracy
    assert (other / "best.safetensors").read_bytes() == (stage / "best.safetensors").read_bytes()


def test_statistics_count_as_lagging_for_some_dozens_of_updates():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm1d(3, track_running_stats=False))
    assert list(lagging(network, 19)) == [network[0]]
    assert list(lagging(network, 66)) == []
