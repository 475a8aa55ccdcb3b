"""Every fault by its number has a test, here or elsewhere; `cases.py` says which.

Not here: 15 (chains), 26 (no cache of outputs), 46 (GPU), 47 (labels left out), 66 (two machines),
72 (no limit of failures), 75 to 81 (one process a run), 89 (no report); `NOT_HERE` says why.
"""

import ast
import math
from functools import cache
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import nn

from kdrun.cli.entry import main
from kdrun.config.paths import config_folder
from kdrun.data.batch import Batch
from kdrun.errors import ConfigError, DamagedError, NumericError, WeightsError
from kdrun.report.sweep_jobs import job_state
from kdrun.runs.runner import run
from kdrun.runs.sweep.sweep import record_failure, score
from kdrun.store.files import check_files, read_sealed, write_sealed
from kdrun.training.checkpoint import read_checkpoint, save_weights, weights_of
from kdrun.training.evaluate import better, evaluate
from tests.faults.cases import NOT_HERE, SHOWN
from tests.training.test_checkpoint import save_checkpoint, training

ROOT = Path(__file__).parents[2]


@cache
def functions(file: str) -> set[str]:
    return {
        node.name
        for node in ast.parse((ROOT / file).read_text()).body
        if isinstance(node, ast.FunctionDef)
    }


def test_every_case_is_shown_or_said_not_to_be():
    assert sorted([*SHOWN, *NOT_HERE]) == list(range(1, 90))


@pytest.mark.parametrize("number", SHOWN)
def test_the_tests_of_a_case_exist(number):
    for test in SHOWN[number]:
        file, _, name = test.partition("::")
        assert name in functions(file), test


def test_case_6_a_batch_larger_than_the_data_is_all_of_them(make_config, tmp_path):
    config = make_config(
        *("loss=none", "student=mlp", "student.width=4", "train.epochs=2", "dataset.limit=100"),
        *("train.batch_size=100000", "train.device=cpu", f"output_root={tmp_path}"),
    )
    (stage,) = run(config, tmp_path / "run", [])["stages"]
    assert stage["epochs"] == 2


@pytest.mark.parametrize(
    ("assistants", "told"),
    [
        ("[]", "is empty; name at least one"),
        ("[resnet8,resnet8]", "resnet8 appears twice"),
        ("[resnt8]", "did you mean 'resnet8'"),
    ],
)
def test_case_15_a_chain_that_is_none_is_told(make_config, assistants, told):
    with pytest.raises(ConfigError, match=told):
        make_config("chain=assistants", f"chain.assistants={assistants}")


def test_case_17_a_launcher_that_is_not_installed_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["-m", "hydra/launcher=nowhere", "loss.T=1,2"])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "unknown hydra/launcher 'nowhere'" in line


def test_case_36_a_checkpoint_of_another_format_is_refused(tmp_path):
    path = save_checkpoint(tmp_path, training(0), "hash", keep=2)
    manifest = read_sealed(path / "manifest.json")
    write_sealed(path / "manifest.json", manifest | {"format": 99})
    with pytest.raises(WeightsError, match="has format 99, made by another kdrun"):
        read_checkpoint(path, "hash")


def test_case_37_tied_weights_are_saved(tmp_path):
    layer = nn.Linear(3, 3)
    save_weights(tmp_path / "tied.safetensors", weights_of(nn.Sequential(layer, layer)))
    state = load_file(tmp_path / "tied.safetensors")
    assert torch.equal(state["0.weight"], state["1.weight"])
    assert torch.equal(state["0.weight"], layer.weight)


def test_case_50_an_accuracy_of_bad_logits_is_never_the_best():
    batch = Batch(torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.long), torch.arange(2))
    with pytest.raises(NumericError, match="logits are not finite"):
        evaluate(lambda batch: torch.full((2, 3), math.nan), [batch], torch.device("cpu"))
    assert not better({"validation": 0.5, "validation_loss": 1.0}, math.nan, math.nan)
    assert not better({"validation": 0.5, "validation_loss": 1.0}, 0.5, math.nan)


def hydra_config():
    return OmegaConf.to_container(OmegaConf.load(config_folder() / "config.yaml"))["hydra"]


def test_case_71_folders_of_jobs_are_numbers_whatever_their_values():
    assert hydra_config()["sweep"]["subdir"] == "${hydra.job.num}"


def test_case_74_a_failed_job_has_a_finite_score(tmp_path):
    record_failure(tmp_path, 5, "the loss is not finite")
    assert score(job_state(tmp_path)) == 0.0


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../b", "..", ""])
def test_case_84_a_manifest_may_not_name_files_elsewhere(tmp_path, name):
    with pytest.raises(DamagedError):
        check_files(tmp_path, {name: {"bytes": 1, "sha256": ""}})


def test_case_88_hydra_leaves_no_files_of_its_own():
    assert hydra_config()["output_subdir"] is None
