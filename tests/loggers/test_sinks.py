"""Sinks of the epochs: what they are given, and that they never hurt a run."""

import tomllib
from pathlib import Path

import pytest

from kdrun.catalog.loggers import LOGGERS
from kdrun.errors import ConfigError
from kdrun.loggers import sinks
from kdrun.loggers.sinks import check_logger, numbers
from kdrun.runs.runner import run
from kdrun.store.files import read_json_lines

ROOT = Path(__file__).parents[2]
QUICK = (
    *("teacher=mlp", "student=mlp", "student.width=8", "train.epochs=2", "train.device=cpu"),
    *("teacher.min_accuracy=0", "analysis=off"),
)


class Recorded:
    """A sink that fails from a given call on."""

    def __init__(self, fails_at):
        self.calls, self.fails_at, self.closed, self.config = [], fails_at, False, None

    def __call__(self, folder, config):
        if self.fails_at == 0:
            raise OSError("no server\nat all")
        self.config = config
        return self

    def log(self, values, epoch):
        if len(self.calls) + 1 == self.fails_at:
            raise ConnectionError("gone")
        self.calls.append((values, epoch))

    def close(self):
        self.closed = True


@pytest.fixture
def do(make_config, tmp_path, monkeypatch):
    """Run with a recording sink in tensorboard's place; returns the folder."""

    def do(sink):
        monkeypatch.setattr("kdrun.loggers.tensorboard.TensorBoard", sink)
        monkeypatch.setattr(sinks, "find_spec", lambda name: True)
        config = make_config(*QUICK, "logger=tensorboard", f"output_root={tmp_path}")
        assert run(config, tmp_path / "run", [])["status"] == "done"
        return tmp_path / "run"

    return do


def test_a_sink_gets_the_lines_of_the_metrics_and_the_config(do):
    sink = Recorded(fails_at=None)
    lines = read_json_lines(do(sink) / "metrics.jsonl")
    assert [epoch for _, epoch in sink.calls] == [line["epoch"] for line in lines]
    for line, (values, _) in zip(lines, sink.calls, strict=True):
        place = f"{line['stage']}-{line['role']}-mlp"
        assert values[f"{place}/loss"] == line["loss"]
        assert values[f"{place}/cross_entropy/raw"] == line["terms"]["cross_entropy"]["raw"]
        assert values == numbers(line)
    assert sink.closed
    assert sink.config["loss.T"] == 4
    assert sink.config["dataset.name"] == "digits"


@pytest.mark.parametrize(("fails_at", "told"), [(0, "OSError: no server"), (3, "gone")])
def test_a_sink_that_fails_is_dropped_with_one_line(do, capsys, fails_at, told):
    sink = Recorded(fails_at)
    lines = read_json_lines(do(sink) / "metrics.jsonl")
    assert len(lines) == 6
    assert len(sink.calls) == max(0, fails_at - 1)
    said = [line for line in capsys.readouterr().out.splitlines() if "logger=" in line]
    assert len(said) == 1
    assert told in said[0]


def test_a_sink_without_its_package_is_refused_before_anything_is_made(
    make_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(sinks, "find_spec", lambda name: None)
    config = make_config(*QUICK, "logger=wandb", f"output_root={tmp_path / 'outputs'}")
    with pytest.raises(ConfigError, match=r"pip install 'kdrun\[wandb\]'"):
        run(config, None, [])
    assert not (tmp_path / "outputs").exists()
    check_logger("none")


def test_the_logger_is_no_part_of_what_a_stage_is(make_config, tmp_path, monkeypatch):
    config = make_config(*QUICK, f"output_root={tmp_path}")
    run(config, tmp_path / "a", [])
    config.logger = "tensorboard"
    monkeypatch.setattr("kdrun.loggers.tensorboard.TensorBoard", Recorded(fails_at=None))
    monkeypatch.setattr(sinks, "find_spec", lambda name: True)
    summary = run(config, tmp_path / "b", [])
    assert all(stage["reused"] for stage in summary["stages"])


@pytest.mark.parametrize("name", LOGGERS)
def test_the_row_of_a_sink_has_a_class_and_an_extra_that_there_is(name):
    row = LOGGERS[name]
    if row.code is None:
        assert (name, row.package, row.extra) == ("none", None, None)
        return
    assert {"log", "close"} <= {*dir(row.load())}
    assert row.remedy == f"pip install 'kdrun[{row.extra}]'"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (requirement,) = project["optional-dependencies"][row.extra]
    assert requirement.startswith(row.package)


LINE = {
    **{"stage": 1, "role": "student", "arch": "mlp", "epoch": 3, "update": 9, "loss": 0.5},
    **{"T": "inf", "memory_mb": None, "terms": {"kl": {"raw": 2.0}}},
}


def test_what_is_no_number_is_left_out():
    assert numbers(LINE) == {"1-student-mlp/loss": 0.5, "1-student-mlp/kl/raw": 2.0}


def test_tensorboard_reads_what_was_written(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with sinks.tracking("tensorboard", tmp_path, {"loss.T": 4}, print) as track:
        track(LINE)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (event,) = events.Scalars("1-student-mlp/loss")
    assert (event.step, event.value) == (3, 0.5)


def test_mlflow_reads_what_was_written(tmp_path, capsys, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with sinks.tracking("mlflow", tmp_path, {"loss.T": 4}, print) as track:
        track(LINE)
    assert "left out" not in capsys.readouterr().out
    (found,) = mlflow.search_runs(experiment_names=["kdrun"], output_format="list")
    assert found.data.metrics["1-student-mlp/loss"] == 0.5
    assert found.data.params["loss.T"] == "4"


def test_wandb_writes_offline(tmp_path, capsys, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with sinks.tracking("wandb", tmp_path, {"loss.T": 4}, print) as track:
        track(LINE)
    assert "left out" not in capsys.readouterr().out
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
