"""Runs and sweeps found below a folder, and what is passed over there."""

import json
import shutil
import subprocess
import sys

import pytest

from kdrun.errors import ConfigError, DamagedError
from kdrun.report.comparison import compare
from kdrun.report.comparison_formats import notes
from kdrun.store.files import write_yaml
from kdrun.store.stages import LEVELS
from tests.report.test_comparison import call, made_run


@pytest.fixture
def outputs(finished_run, tmp_path):
    """An output root: runs at any depth, a sweep, a store, a cache, a link, and others."""
    root = tmp_path / "outputs"
    made_run(finished_run, root / "digits" / "a-b" / "first", ["loss.T=1"], 0, 0.8, 0.8, 0.7)
    made_run(
        finished_run, root / "deep" / "er" / "still" / "second", ["loss.T=2"], 0, 0.9, 0.9, 0.7
    )
    for number, T in enumerate((4, 5)):
        job = root / "sweeps" / "now" / str(number)
        made_run(finished_run, job, [f"loss.T={T}"], 0, 0.7, 0.7, 0.6)
    write_yaml(root / "sweeps" / "now" / "sweep.yaml", {"overrides": [], "jobs": None})
    shutil.copytree(finished_run.parent / "store", root / "store")
    (root / "cache" / "0123456789abcdef").mkdir(parents=True)
    (root / "cache" / "0123456789abcdef" / "key.json").write_text("{}")
    (root / "linked").symlink_to(root / "digits")
    (root / ".git").mkdir()
    (root / "notes" / "empty").mkdir(parents=True)
    damaged = made_run(finished_run, root / "bad" / "damaged", ["loss.T=7"], 0, 0.9, 0.9, 0.7)
    (damaged / "summary.json").write_text("{}")
    begun = made_run(finished_run, root / "bad" / "begun", ["loss.T=8"], 0, 0.9, 0.9, 0.7)
    (begun / "summary.json").unlink()
    return root


def test_runs_and_sweeps_at_any_depth_are_compared(outputs):
    content = compare([outputs])
    assert [row["settings"]["loss.T"] for row in content["settings"]] == ["2", "1", "4", "5"]


def test_what_is_passed_over_is_named_with_the_reason(outputs):
    content = compare([outputs])
    found = {one["folder"]: one["why"] for one in content["passed_over"]}
    expected = {
        "linked": "a link",
        ".git": "a hidden folder",
        "store": "stages of runs, kept for reuse",
        "cache": "stored outputs of teachers",
        "notes": "no run or sweep in it",
        "bad/damaged": f"{outputs / 'bad/damaged/summary.json'} is damaged: its checksum differs",
    }
    assert found == {str(outputs / name): why for name, why in expected.items()}
    told = notes(content)
    assert f"{outputs / 'store'} is passed over: stages of runs, kept for reuse" in told
    assert f"{outputs / 'bad' / 'begun'} is left out: reopened" in told


def test_a_named_run_counts_once_beside_the_folder_that_holds_it(outputs):
    first = outputs / "digits" / "a-b" / "first"
    content = compare(
        [outputs, first, outputs / "sweeps" / "now", outputs / "sweeps" / "now" / "1"]
    )
    assert len(content["runs"]) == 4
    assert content["repeated"] == []


def test_a_damaged_run_that_was_named_is_refused(outputs):
    with pytest.raises(DamagedError, match=r"summary\.json"):
        compare([outputs, outputs / "bad" / "damaged"])


def test_folders_too_deep_are_told_and_not_searched(finished_run, tmp_path):
    deep = tmp_path.joinpath(*"abcdefg"[: LEVELS + 1])
    made_run(finished_run, deep / "run", [], 0, 0.9, 0.9, 0.7)
    near = tmp_path.joinpath(*"abcdefg"[: LEVELS - 1])
    made_run(finished_run, near / "run", [], 0, 0.9, 0.9, 0.7)
    content = compare([tmp_path])
    assert [row["run"] for row in content["runs"]] == [str(near / "run")]
    (passed,) = content["passed_over"]
    assert passed["folder"] == str(deep)
    assert f"more than {LEVELS} levels below" in passed["why"]


def test_a_folder_without_runs_is_refused_with_what_to_name(tmp_path):
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"no run or sweep of kdrun in it.*name the folder"):
        compare([tmp_path / "config.yaml"])


def test_a_folder_of_unfinished_runs_says_how_to_continue(outputs):
    with pytest.raises(ConfigError, match=r"no finished run.*'kdrun resume .*begun' continues"):
        compare([outputs / "bad"])


def test_the_command_lists_what_is_passed_over_beside_every_format(outputs, capsys):
    assert call("report", str(outputs)) == 0
    assert f"{outputs / 'store'} is passed over" in capsys.readouterr().out
    for form in ("md", "latex", "csv"):
        assert call("report", str(outputs), "--format", form) == 0
        out, err = capsys.readouterr()
        assert "passed over" not in out
        assert f"kdrun: {outputs / 'linked'} is passed over: a link\n" in err
    assert call("report", str(outputs), "--format", "json") == 0
    out, err = capsys.readouterr()
    assert (len(json.loads(out)["passed_over"]), err) == (6, "")


def test_a_folder_of_runs_is_reported_without_torch(outputs):
    program = (
        "import sys; from kdrun.cli.entry import dispatch; dispatch(sys.argv[1:]); "
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, "report", str(outputs)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
