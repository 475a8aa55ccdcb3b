"""Every command of README, RESULTS and CONTRIBUTING: run as it stands, planned, or on made data.

A run is planned with its own words; a command on a folder is given the folder of a small run or
sweep; a benchmark is asked for its help, and tested under `tests/benchmarks`.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from kdrun.cli.entry import main
from kdrun.cli.verbs import VERBS
from kdrun.config.compose import whole_config
from kdrun.config.optuna_sweeper import refuse_minimizing
from kdrun.config.parse import parse
from kdrun.config.sweep_overrides import BASIC, compose_listed, planned_jobs
from kdrun.store.files import read_json
from tests.data.conftest import write_pictures
from tests.runs.sweep.test_sweep import main_code

TEXTS = ("README.md", "RESULTS.md", "CONTRIBUTING.md")
REPOSITORY = Path(__file__).parents[1]
SMALL = (
    *("teacher=mlp", "teacher.width=32", "student=mlp", "student.width=8", "train.epochs=1"),
    *("teacher.min_accuracy=0", "dataset.limit=300", "train.device=cpu", "analysis=off"),
)


def blocks(text):
    """Lines of code blocks, with continued lines joined and comments removed."""
    lines = re.sub(r" *\\\n +", " ", text).splitlines()
    for line in lines:
        if line.startswith("    ") and line.strip():
            yield re.split(r" {2,}#|\t#", line.strip())[0].strip()


def inline(text):
    """Commands in the running text."""
    for found in re.findall(r"`((?:kdrun|python -m)\s[^`]*)`", text):
        yield " ".join(found.split())


def commands(start):
    """Documented commands that begin with a word, once each, with the text that has them."""
    found = {}
    for name in TEXTS:
        text = (REPOSITORY / name).read_text()
        for line in [*blocks(text), *inline(text)]:
            for command in line.split(" && "):
                if re.match(rf"{start}(\s|$)", command) and "key=value" not in command:
                    found.setdefault(command, name)
    return list(found)


def words_of(command):
    return [word for word in shlex.split(command)[1:] if word != "..."]


ELSEWHERE = {"kdrun best": "tests/test_contributing.py", "kdrun --help": "below"}
RUNS = [
    command
    for command in commands("kdrun")
    if (words_of(command) or ["run"])[0] not in set(VERBS) - {"run", "plan"}
    and command not in ELSEWHERE
]
LAYERS = [one for one in commands("kdrun layers") if words_of(one)[1:] not in ([], ["MODEL"])]
ON_FOLDERS = [
    command
    for command in commands("kdrun")
    if len(words_of(command)) > 1
    and words_of(command)[0] in ("report", "resume", "verify", "export", "analyze")
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A folder with a finished run and a finished sweep in `outputs`."""
    here = tmp_path_factory.mktemp("documented")
    before = Path.cwd()
    os.chdir(here)
    try:
        assert main_code([*SMALL, "hydra.run.dir=outputs/run"]) == 0
        assert main_code(["-m", *SMALL, "loss.T=1,4", "hydra.sweep.dir=outputs/sweep"]) == 0
    finally:
        os.chdir(before)
    return here


def test_the_texts_have_commands():
    assert len(RUNS) > 20
    assert len(ON_FOLDERS) > 5
    assert "kdrun teacher=resnet50 student=resnet18 loss.T=4" in RUNS
    assert "kdrun -m loss.alpha=0.1,0.5,0.9 loss.T=1,4,8" in RUNS


def with_pictures(words, folder):
    """The words, with a folder of pictures in place of the reader's."""
    if any(re.fullmatch(r"dataset.root=(FOLDER|\.\.\.)", word) for word in words):
        write_pictures(folder, {"train": 12, "val": 4})
    return [re.sub(r"=(FOLDER|\.\.\.)$", f"={folder}", word) for word in words]


@pytest.mark.parametrize("command", RUNS)
def test_a_run_can_be_planned(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = with_pictures(words_of(command), tmp_path / "pictures")
    if "-m" in words or "--multirun" in words:
        check_sweep([word for word in words if word not in ("-m", "--multirun", "run")])
        return
    planned = words if words[:1] == ["plan"] else ["plan", *words]
    assert main_code([word for word in planned if word != "--probe"]) == 0
    assert " on disk; memory in " in capsys.readouterr().out


def check_sweep(words):
    """Compose and check every job of a sweep, with its launcher or sweeper."""
    own = [word for word in words if word.startswith(("hydra/", "hydra."))]
    plugin = {"ray": "hydra_ray_launcher"}
    for word in own:
        name = plugin.get(word.partition("=")[2])
        if name is not None and find_spec(f"hydra_plugins.{name}") is None:
            pytest.skip(f"{name} is not installed")
    overrides = [word for word in words if word not in own]
    listed = f"++hydra.overrides.task={overrides!r}"
    with whole_config([*own, listed]) as config:
        refuse_minimizing(config.hydra.sweeper)
        planned = planned_jobs(config)
        if config.hydra.sweeper._target_ != BASIC:
            assert planned is None
            return
    assert planned is not None
    for job in planned.overrides:
        parse(compose_listed(job))


@pytest.mark.parametrize("command", LAYERS)
def test_layers_are_shown(command, capsys):
    assert main_code(words_of(command)) == 0
    assert "layer" in capsys.readouterr().out


@pytest.mark.parametrize("command", ON_FOLDERS)
def test_a_command_on_a_folder_does_what_it_says(command, outputs, tmp_path, monkeypatch, capsys):
    here = shutil.copytree(outputs, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(here)
    text = re.sub(r"outputs/sweeps/<time>|\bSWEEP\b", "outputs/sweep", command)
    text = re.sub(r"outputs/(<run>|\S*<time>)|\b(DIR|A)\b", "outputs/run", text)
    text = re.sub(r"\bB\b", "outputs/sweep/0", text)
    words = [word for word in shlex.split(text)[1:] if word != "..."]
    if "hydra/launcher=submitit_slurm" in words:
        words[-1] = "hydra/launcher=basic"
    assert main_code(words) == 0, capsys.readouterr().err
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", commands("pip install"))
def test_what_is_installed_is_an_extra(command):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for names in re.findall(r"(?:\.|kdrun)\[([\w,]+)\]", command):
        for name in names.split(","):
            assert name in project["optional-dependencies"] or name == "NAME"


@pytest.mark.slow
@pytest.mark.parametrize("command", commands("python -m"))
def test_a_module_has_the_documented_options(command):
    _, _, module, *words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for option in (word for word in words if word.startswith("--")):
        assert f"{option} " in done.stdout


def test_the_help_is_shown(capsys):
    assert "kdrun --help" in commands("kdrun")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "loss.T" in capsys.readouterr().out


def slurm_script():
    """The lines of README's Slurm script after its #SBATCH lines."""
    lines = (REPOSITORY / "README.md").read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if "#SBATCH" in line)
    last = next(n for n in range(first, len(lines)) if not lines[n].startswith("    "))
    return "\n".join(line.strip() for line in lines[first:last]) + "\n"


@pytest.mark.slow
def test_the_slurm_script_is_requeued_and_goes_on(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    words = "student=mlp teacher=mlp teacher.min_accuracy=0 train.epochs=300 train.threads=1"
    (tools / "kdrun").write_text(
        f'#!/bin/bash\n[ $1 = resume ] || set -- {words} analysis=off "$@"\n'
        f'exec {sys.executable} -m kdrun "$@"\n'
    )
    (tools / "scontrol").write_text('#!/bin/bash\necho "$@" >> requeued\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    (tmp_path / "job.sh").write_text(slurm_script())
    environment = os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "SLURM_JOB_ID": "7",
    }

    def start():
        return subprocess.Popen(
            ["bash", "job.sh"], cwd=tmp_path, env=environment, start_new_session=True
        )

    job, status = start(), tmp_path / "outputs" / "exp1" / "status.json"
    metrics = tmp_path / "outputs" / "exp1" / "metrics.jsonl"
    limit = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size):
        assert job.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.2)
    os.kill(job.pid, signal.SIGUSR1)  # as `--signal=B:USR1@120` does: to the script alone
    assert job.wait(120) == 0  # scontrol's own code
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert read_json(status)["status"] == "stopped"
    assert start().wait(300) != 75
    assert read_json(status)["status"] == "done"
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
