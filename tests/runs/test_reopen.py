"""A finished run that is given more epochs: killed anywhere, it ends as if left alone."""

import json
import os
import shutil

import pytest

from kdrun.errors import ConfigError, DamagedError
from kdrun.export.student import export_student
from kdrun.report.run_page import write_report
from kdrun.runs.reopen import INTENT
from kdrun.runs.resume import resume_run
from kdrun.runs.runner import run
from kdrun.runs.verify import show_verified
from kdrun.store.files import read_sealed, write_sealed
from tests.runs.test_resume import same

QUICK = (
    *("teacher=mlp", "teacher.width=8", "student=mlp", "student.width=4", "train.epochs=1"),
    *("train.precision=fp32", "train.device=cpu", "train.batch_size=256", "analysis=off"),
    *("teacher.min_accuracy=0", "dataset.limit=400", "chain.control=false"),
)
MORE = ["train.epochs=2"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours handles it."""


@pytest.fixture(scope="module")
def roots(make_config, tmp_path_factory):
    """A finished run's output root, and the same with more epochs given at once."""
    folder = tmp_path_factory.mktemp("reopen")
    begun, whole = folder / "begun", folder / "whole"
    run(make_config(*QUICK, f"output_root={begun}"), begun / "run", QUICK)
    shutil.copytree(begun, whole, symlinks=True)
    resume_run(whole / "run", MORE)
    return begun, whole


def kill_at(monkeypatch, nth, after):
    """Let the nth rename or removal of a file of the run's own folder kill, or do it and kill."""
    count = [0]

    def armed(real, place):
        def call(*paths, **named):
            own = os.path.basename(os.path.dirname(os.fspath(paths[place]))) == "run"
            count[0] += own
            if own and count[0] == nth and not after:
                raise Killed
            try:
                return real(*paths, **named)
            finally:
                if own and count[0] == nth:
                    raise Killed

        return call

    monkeypatch.setattr(os, "replace", armed(os.replace, 1))
    monkeypatch.setattr(os, "unlink", armed(os.unlink, 0))


@pytest.mark.parametrize(("after", "again"), [(False, []), (True, MORE)])
@pytest.mark.parametrize("nth", range(1, 10))
def test_a_reopening_killed_at_any_write_ends_as_if_left_alone(
    roots, tmp_path, monkeypatch, nth, after, again
):
    begun, whole = roots
    shutil.copytree(begun, tmp_path / "root", symlinks=True)
    folder = tmp_path / "root" / "run"
    with monkeypatch.context() as patched:
        kill_at(patched, nth, after)
        with pytest.raises(Killed):
            resume_run(folder, MORE)
    if (folder / "summary.json").exists():
        show_verified(folder)  # it is still the run that it was, whole
    if nth == 1 and not after:
        resume_run(folder, again)  # nothing was written of it
        same(folder, begun / "run")
        again = MORE
    resume_run(folder, again)
    same(folder, whole / "run")
    config = (folder / "config.yaml").read_text().replace(str(tmp_path / "root"), str(begun))
    assert config == (whole / "run" / "config.yaml").read_text().replace(str(whole), str(begun))
    assert read_sealed(folder / "plan.json") == read_sealed(whole / "run" / "plan.json")
    assert not (folder / INTENT).exists()
    show_verified(folder)


def test_a_page_of_the_shorter_run_does_not_outlive_it(roots, tmp_path):
    begun, _ = roots
    shutil.copytree(begun, tmp_path / "root", symlinks=True)
    folder = tmp_path / "root" / "run"
    write_report(folder)
    resume_run(folder, MORE)
    assert not (folder / "report.html").exists()


def test_an_export_of_the_shorter_run_is_set_aside_and_named(roots, tmp_path, capsys):
    begun, _ = roots
    shutil.copytree(begun, tmp_path / "root", symlinks=True)
    folder = tmp_path / "root" / "run"
    for number, epochs in ((1, 3), (2, 4)):
        card = export_student(folder, ["safetensors"])
        resume_run(folder, [f"train.epochs={epochs}"])
        assert not (folder / "export").exists()
        aside = f"export-earlier-{number}"
        assert json.loads((folder / aside / "student.json").read_text())["stage"] == card["stage"]
        out = capsys.readouterr().out
        assert f"held the student of the shorter run and is now {aside}; 'kdrun export" in out
    show_verified(folder)
    assert export_student(folder, ["safetensors"])["stage"] != card["stage"]


def test_a_run_that_is_half_reopened_is_not_exported(roots, tmp_path, monkeypatch):
    begun, _ = roots
    shutil.copytree(begun, tmp_path / "root", symlinks=True)
    folder = tmp_path / "root" / "run"
    with monkeypatch.context() as patched:
        kill_at(patched, 4, after=True)
        with pytest.raises(Killed):
            resume_run(folder, MORE)
    with pytest.raises(ConfigError, match=r"not finished; 'kdrun resume .*' continues"):
        export_student(folder, ["safetensors"])


@pytest.mark.parametrize("content", [{}, {"config": 1, "plan": {}}, {"config": "a", "plan": []}])
def test_a_note_that_kdrun_would_not_write_changes_nothing(roots, tmp_path, content):
    begun, _ = roots
    shutil.copytree(begun, tmp_path / "root", symlinks=True)
    folder = tmp_path / "root" / "run"
    write_sealed(folder / INTENT, content)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(DamagedError, match=r"reopening\.json"):
        resume_run(folder, [])
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
