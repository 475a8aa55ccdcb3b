"""Sweeps through the command line: shared stages, failures that stay their own, the tables."""

import pytest
from scipy import stats

from kdrun.cli.entry import main
from kdrun.errors import OutputError
from kdrun.runs.sweep.sweep import record_failure
from kdrun.store.files import read_json

QUICK = (
    "teacher=mlp",
    "teacher.width=32",
    "student.width=8",
    "train.epochs=1",
    "train.device=cpu",
    "analysis=off",
)


def main_code(words):
    """The exit code of `kdrun WORDS`."""
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code or 0


@pytest.fixture
def sweep(tmp_path, monkeypatch, capsys):
    """Run a sweep; returns exit code, `sweep.json`'s content and what was printed."""
    monkeypatch.chdir(tmp_path)

    def sweep(*words):
        code = main_code(["-m", *QUICK, "teacher.min_accuracy=0", *words])
        (found,) = tmp_path.glob("outputs/sweeps/*/sweep.json")
        printed = capsys.readouterr()
        return code, read_json(found), printed.out + printed.err, found.parent

    return sweep


def test_a_sweep_trains_one_teacher_and_one_control(sweep):
    code, content, out, folder = sweep("loss.alpha=0.1,0.9", "loss.T=1,4")
    assert code == 0
    assert len(content["jobs"]) == 4
    summaries = [read_json(path) for path in folder.glob("*/summary.json")]
    trained = [
        (stage["role"], stage["hash"])
        for summary in summaries
        for stage in summary["stages"]
        if not stage["reused"]
    ]
    assert sorted(role for role, _ in trained) == ["control", *["student"] * 4, "teacher"]
    assert "4 jobs by validation accuracy" in out


def test_the_table_is_sorted_by_validation_accuracy(sweep):
    _, content, _, _ = sweep("loss.T=1,4,16")
    accuracies = [job["validation"] for job in content["jobs"]]
    assert accuracies == sorted(accuracies, reverse=True)


def test_a_job_that_fails_is_told_and_the_others_run(sweep, monkeypatch):
    # A fault that the check before the first job would find.
    monkeypatch.setattr("kdrun.runs.sweep.begin.check_jobs", lambda config, jobs: None)
    code, content, out, _ = sweep("loss.T=0,4")
    assert code == 2
    done, failed = content["jobs"]
    assert done["status"] == "done"
    assert (failed["status"], failed["code"]) == ("failed", 2)
    assert "loss.T=0: must be above 0" in failed["error"]
    assert "failed: loss.T=0" in out


def test_seeds_are_averaged_and_paired_with_their_controls(sweep):
    _, content, out, _ = sweep("loss.T=1,4", "train.seed=0,1")
    assert "mean over seeds" in out
    rows = content["over_seeds"]
    assert [row["seeds"] for row in rows] == [2, 2]
    for row in rows:
        members = [
            j for j in content["jobs"] if j["settings"]["loss.T"] == row["settings"]["loss.T"]
        ]
        gains = [job["test"] - job["control_test"] for job in members]
        assert row["gain"]["points"] == pytest.approx(50 * sum(gains))
        low, high = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
        ends = [row["gain"]["low"], row["gain"]["high"]]
        assert ends == pytest.approx([100 * low, 100 * high])


def test_settings_tied_with_the_best_are_named(sweep):
    # Twice the same student.
    _, content, out, _ = sweep("train.keep_last=1,2")
    assert content["tied_with_best"] == [["1"]]
    note = "the other setting does not differ significantly from the best on validation"
    assert f"{note} at 95 % (exact McNemar)" in " ".join(out.split())


def test_settings_in_brackets_are_shown(sweep):
    _, content, out, _ = sweep("loss=kd,[kd,rkd]")
    assert {job["settings"]["loss"] for job in content["jobs"]} == {"kd", "[kd,rkd]"}
    assert out.count("[kd,rkd]") == 2  # in the job's line and in the table


def test_the_same_sweep_again_reuses_every_stage(sweep, tmp_path):
    _, _, _, folder = sweep("loss.T=1,4")
    folder.rename(tmp_path / "before")
    _, _, _, folder = sweep("loss.T=1,4")
    for path in folder.glob("*/summary.json"):
        assert all(stage["reused"] for stage in read_json(path)["stages"])


def epochs_of(folder):
    return {
        path.parent.name: [stage["epochs"] for stage in read_json(path)["stages"]]
        for path in folder.glob("*/summary.json")
    }


def test_more_epochs_on_resuming_are_for_the_done_jobs_too(sweep):
    _, _, _, folder = sweep("loss.T=1,4", "train.lockstep=2")
    assert set(map(tuple, epochs_of(folder).values())) == {(1, 1, 1)}
    (folder / "1" / "summary.json").unlink()  # as of a job that was stopped
    main_code(["resume", str(folder), "train.epochs=2"])
    assert epochs_of(folder) == {"0": [1, 2, 2], "1": [1, 2, 2]}  # finished teachers stay


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("loss.T=8", "loss.T: would change the result"),
        ("train.epochs=0", "train.epochs=0"),
        ("train.epochs=5", "train.epochs: cannot be raised for a chain"),
    ],
)
def test_an_override_that_a_job_cannot_take_is_refused_before_any_is_touched(
    sweep, capsys, override, told
):
    _, _, _, folder = sweep("chain.stage.1.loss.T=2", "loss.alpha=0.1,0.5")
    (folder / "1" / "summary.json").unlink()
    before = {path: path.read_bytes() for path in folder.glob("*/*.json")}
    assert main_code(["resume", str(folder), override]) == 2
    assert capsys.readouterr().err.startswith(f"kdrun: {told}")
    assert {path: path.read_bytes() for path in folder.glob("*/*.json")} == before


def contents(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_written_behind_a_job_that_is_a_link(sweep, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    _, _, _, folder = sweep("loss.T=1,4")
    (folder / "0").rename(elsewhere)
    (folder / "0").symlink_to(elsewhere)
    before = contents(elsewhere)
    assert main_code(["resume", str(folder)]) == 6
    assert contents(elsewhere) == before


def test_a_failure_is_not_recorded_behind_a_link(tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="0: is a link"):
        record_failure(tmp_path / "0", 6, "the disk is full")
    assert "the disk is full" in capsys.readouterr().err
    assert not list((tmp_path / "elsewhere").iterdir())
