"""A command started several times by torchrun, srun or mpirun is refused."""

import os
import subprocess
import sys

import pytest

from kdrun.cli.entry import main
from kdrun.cli.several_processes import LAUNCHERS, refuse_several_processes


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("number", ["0", "1"])
def test_each_of_several_processes_is_refused(launcher, number, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    rank, count = LAUNCHERS[launcher]
    monkeypatch.setenv(count, "2")
    monkeypatch.setenv(rank, number)
    with pytest.raises(SystemExit) as left:
        main(["teacher=resnet8"])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{launcher} started this command in 2 processes" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"RANK": "0", "WORLD_SIZE": "1"},
        {"WORLD_SIZE": "4"},  # of an allocation, not of this command
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},  # the script of a batch job
        {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"},
    ],
)
def test_one_process_is_let_alone(given, monkeypatch):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    refuse_several_processes()


@pytest.mark.slow
def test_torchrun_ends_without_a_run(tmp_path):
    words = ["--standalone", "--nproc-per-node=2", "-m", "kdrun", "train.epochs=1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode != 0
    assert "torchrun started this command in 2 processes" in done.stderr
    assert not (tmp_path / "outputs").exists()
