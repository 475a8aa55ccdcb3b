"""Sweeps on launchers and sweepers of Hydra's plugins, each with real jobs."""

from importlib.util import find_spec

import pytest

from kdrun.errors import Stopped
from kdrun.runs.sweep import begin
from kdrun.runs.sweep.launch import launcher_words
from kdrun.runs.sweep.sweep import close_broken
from kdrun.store.files import read_json, read_yaml
from kdrun.store.sweep_folder import begin_sweep, listed_jobs, noted_launcher
from tests.runs.sweep.test_sweep import QUICK, main_code, sweep

__all__ = ["sweep"]


def of_jobs(content, name):
    return [job[name] for job in sorted(content["jobs"], key=lambda job: job["number"])]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_sweep_on_a_launcher_is_the_sweep_without_one(sweep, tmp_path, launcher):
    words = ("loss.T=1,4", "teacher.min_accuracy=0,1")  # no teacher is right on every image
    code, content, out, folder = sweep(*words, f"hydra/launcher={launcher}")
    assert code == 4, out
    assert of_jobs(content, "status") == ["done", "done", "failed", "failed"]
    assert "teacher.min_accuracy" in of_jobs(content, "error")[2]
    summaries = [read_json(folder / job / "summary.json") for job in ("0", "1")]
    teachers = {stage["hash"] for one in summaries for stage in one["stages"][:1]}
    assert len(teachers) == 1
    assert sum(not one["stages"][0]["reused"] for one in summaries) == 1
    assert main_code([*QUICK, "teacher.min_accuracy=0", "loss.T=4", "hydra.run.dir=alone"]) == 0
    alone = read_json(tmp_path / "alone" / "summary.json")["stages"]
    launched = read_json(folder / "1" / "summary.json")["stages"]
    assert [one["accuracy"] for one in alone] == [one["accuracy"] for one in launched]
    assert noted_launcher(folder) == launcher


@pytest.mark.slow
def test_optuna_finds_the_best_setting_and_is_told_of_failures(sweep):
    pytest.importorskip("optuna")
    words = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=5", "hydra.sweeper.sampler.seed=1")
    study = ("hydra.sweeper.storage=sqlite:///study.db", "hydra.sweeper.study_name=rates")
    code, content, out, folder = sweep("train.lr=choice(-1,0.00001,0.2)", *words, *study)
    import optuna

    found = optuna.load_study(study_name="rates", storage="sqlite:///study.db")
    states = [trial.state.name for trial in found.trials]
    failed = [status == "failed" for status in of_jobs(content, "status")]
    assert [state == "FAIL" for state in states] == failed
    assert any(failed), out
    assert not all(failed), out
    assert code == 2
    scores = [score for score in of_jobs(content, "validation") if score is not None]
    assert found.best_value == max(scores) > min(scores)
    written = read_yaml(folder / "optimization_results.yaml")
    assert written["best_value"] == max(scores)
    assert listed_jobs(folder) is None


def test_a_search_of_which_every_job_fails_ends_with_the_table(sweep):
    pytest.importorskip("optuna")
    code, content, out, _ = sweep(
        "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "loss.T=choice(-1,-2)"
    )
    assert code == 2
    assert of_jobs(content, "status") == ["failed", "failed"]
    assert "the sweep ended early: ValueError: No trials are completed yet" in out


@pytest.mark.parametrize("named", ["basic", "joblib"])
def test_a_resumed_sweep_takes_a_launcher(capsys, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sweeps" / "one"
    begin_sweep(folder, [], [["loss.T=-1"], ["loss.T=-2"]], launcher="submitit_slurm")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    words = ["resume", "../sweeps/one", "-m", f"hydra/launcher={named}"]
    assert main_code([*words, "output_root=~/out"]) == 2
    jobs = read_json(folder / "sweep.json")["jobs"]
    assert [job["status"] for job in jobs] == ["failed", "failed"]
    assert ("run here" in capsys.readouterr().out) == (named == "basic")


def test_a_resumed_sweep_says_that_it_runs_here(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sweeps" / "one"
    begin_sweep(folder, [], [["loss.T=-1"]], launcher="submitit_slurm")
    assert main_code(["resume", str(folder)]) == 2
    told = "one job runs here; for the sweep's launcher add -m hydra/launcher="
    assert f"{told}submitit_slurm" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("slurm", "unknown hydra/launcher 'slurm'; one of basic, "),
        pytest.param(
            *("ray", "unknown hydra/launcher 'ray': not installed; pip install 'kdrun[ray]'"),
            marks=pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed"),
        ),
    ],
)
def test_an_unknown_launcher_is_one_line(tmp_path, capsys, name, told):
    begin_sweep(tmp_path / "sweeps" / "one", [], [["loss.T=-1"]])
    words = ["resume", str(tmp_path / "sweeps" / "one"), "-m", f"hydra/launcher={name}"]
    assert main_code(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_words_of_the_launcher_are_told_from_settings():
    words = ["hydra/launcher=ray", "train.device=cpu", "+hydra.launcher.x=1", "analysis=off"]
    own, rest = launcher_words(words)
    assert own == ["hydra/launcher=ray", "+hydra.launcher.x=1"]
    assert rest == ["train.device=cpu", "analysis=off"]


def test_ctrl_c_while_a_launcher_waits_is_a_stop_that_can_be_resumed(tmp_path):
    with pytest.raises(Stopped, match=r"'kdrun resume .*' continues"):
        close_broken(tmp_path, None, KeyboardInterrupt())


def test_jobs_in_folders_of_their_own_names_are_resumed_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(begin, "check_jobs", lambda config, jobs: None)
    words = ["-m", "student=mlp,resnet8", "loss.T=-1", "hydra.sweep.dir=sw"]
    assert main_code([*words, "hydra.sweep.subdir=of/${student.arch}"]) == 2
    assert list(listed_jobs(tmp_path / "sw")) == ["of/mlp", "of/resnet8"]
    begun = {path.parent.name for path in tmp_path.glob("sw/of/*/overrides.yaml")}
    assert begun == {"mlp", "resnet8"}
    (tmp_path / "sw" / "of" / "mlp" / "status.json").unlink()
    capsys.readouterr()
    assert main_code(["resume", "sw"]) == 2
    assert "job of/mlp (missing)" in capsys.readouterr().out
    assert not (tmp_path / "sw" / "0").exists()
