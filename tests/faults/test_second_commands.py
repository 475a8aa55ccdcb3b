"""Every command on every kind of folder, free or in use: one line, a code, nothing harmed."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from kdrun.runs.runner import run
from kdrun.store import run_folder
from kdrun.store.run_folder import occupied
from tests.runs.sweep.test_sweep import main_code
from tests.runs.test_reopen import QUICK

COMMANDS = {
    "run": ("loss.T=3", "hydra.run.dir={folder}"),
    "sweep": ("-m", "loss.T=3,5", "hydra.sweep.dir={folder}"),
    "resume": ("resume", "{folder}"),
    "raise": ("resume", "{folder}", "train.epochs=2"),
    "analyze": ("analyze", "{folder}", "analysis=basic"),
    "export": ("export", "{folder}", "--format", "safetensors"),
    "verify": ("verify", "{folder}"),
    "report": ("report", "{folder}"),
}
WRITING = ("run", "sweep", "resume", "raise", "analyze", "export")


@pytest.fixture(scope="module")
def made(make_config, tmp_path_factory):
    """An output root with a finished run, one without its summary, and a sweep of one job."""
    root = tmp_path_factory.mktemp("made") / "root"
    config = make_config(*QUICK, f"output_root={root}")
    run(config, root / "run", QUICK)
    run(config, root / "stopped", QUICK)
    (root / "stopped" / "summary.json").unlink()
    run(config, root / "sweep" / "0", QUICK)
    (root / "sweep" / "sweep.yaml").write_text(f"format: 1\njobs:\n- {list(QUICK)!r}\n")
    return root


@pytest.fixture
def root(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "root", symlinks=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder, "PATIENCE", 0.05)
    return tmp_path / "root"


def place(root: Path, kind: str) -> Path:
    """The folder of this kind."""
    if kind == "stage":
        return min((root / "store").glob("[0-9a-f]*"))
    return root if kind == "root" else root / kind


def contents(folder: Path) -> dict[str, str]:
    """The checksum of every file below the folder but locks."""
    return {
        os.fspath(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def words(command: str, folder: Path) -> list[str]:
    """The command for the folder."""
    given = [word.format(folder=folder) for word in COMMANDS[command]]
    quick = [*QUICK, f"output_root={folder.parent}"]
    return [*given, *quick] if command in ("run", "sweep") else given


@pytest.mark.parametrize("kind", ["run", "stopped", "sweep"])
@pytest.mark.parametrize("command", WRITING)
def test_a_folder_in_use_is_left_alone(root, capsys, command, kind):
    folder = place(root, kind)
    before = contents(folder)
    with occupied(folder):
        code = main_code(words(command, folder))
    told = capsys.readouterr().err.splitlines()
    assert code in (2, 6)  # 2: the command is not for such a folder
    assert len(told) == 1
    assert told[0].startswith("kdrun: ")
    assert contents(folder) == before


@pytest.mark.parametrize("kind", ["run", "stopped", "sweep", "sweep/0"])
@pytest.mark.parametrize("command", ["run", "sweep"])
def test_what_is_there_already_is_not_begun_again(root, capsys, command, kind):
    folder = place(root, kind)
    before = contents(root)
    assert main_code(words(command, folder)) == 6
    (line,) = capsys.readouterr().err.splitlines()
    assert "already; resume it with 'kdrun resume " in line
    assert contents(root) == before


NO_RUNS = [
    (command, kind)
    for command in ("resume", "raise", "analyze", "export", "report")
    for kind in ("store", "stage", "root")
    if (command, kind) != ("report", "root")  # which compares the runs below it
]


@pytest.mark.parametrize(("command", "kind"), NO_RUNS)
def test_a_command_for_runs_says_what_is_none(root, capsys, command, kind):
    before = contents(root)
    assert main_code(words(command, place(root, kind))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no run" in line or "not the folder of a run" in line
    assert contents(root) == before
