"""The table of a sweep: settings are those of each run's own config, and a stranger's is told."""

import pytest
from omegaconf import OmegaConf

from kdrun.config.listed_values import shared_values
from kdrun.errors import ConfigError, DamagedError
from kdrun.report.comparison import compare
from kdrun.report.sweep_jobs import foreign_jobs, read_jobs
from kdrun.store.files import file_entry, write_json, write_sealed, write_yaml
from kdrun.store.sweep_folder import begin_sweep

JOBS = [["student=mlp", "loss=kd", "loss.T=1"], ["student=mlp", "loss=[kd,rkd]", "loss.T=4"]]


def made_job(make_config, folder, overrides, test):
    """A finished run's files, as far as the table reads them."""
    folder.mkdir(parents=True)
    write_yaml(folder / "overrides.yaml", overrides)
    write_yaml(folder / "config.yaml", OmegaConf.structured(make_config(*overrides)))
    accuracy = {"train": 0.9, "last": test, "best_validation": test}
    accuracy["test_at_best_validation"] = test
    counts = {"parameters": 10, "macs": 10, "epochs": 1, "seconds": 1.0}
    stage = {"role": "student", "arch": "mlp", "accuracy": accuracy, "reused": False, "files": {}}
    files = {"config.yaml": file_entry(folder / "config.yaml")}
    run = {"status": "done", "dataset": "digits", "test_images": 449, "seed": 0}
    summary = run | {"stages": [stage | counts], "files": files}
    write_sealed(folder / "summary.json", summary)
    write_json(folder / "status.json", {"status": "done"})


@pytest.fixture
def sweep(make_config, tmp_path):
    begin_sweep(tmp_path, [], JOBS)
    for number, (overrides, test) in enumerate(zip(JOBS, (0.5, 0.7), strict=True)):
        made_job(make_config, tmp_path / str(number), overrides, test)
    return tmp_path


def by_name(folder):
    return {job["job"]: job for job in read_jobs(folder)}


def test_a_job_is_shown_with_its_settings_and_accuracy(sweep):
    jobs = by_name(sweep)
    assert [job["job"] for job in read_jobs(sweep)] == ["1", "0"]  # the better first
    assert jobs["1"]["settings"] == {"student": "mlp", "loss": "[kd,rkd]", "loss.T": "4"}
    assert (jobs["1"]["status"], jobs["1"]["test"], jobs["1"]["code"]) == ("done", 0.7, 0)


def test_overrides_that_were_exchanged_change_no_setting(sweep):
    write_yaml(sweep / "0" / "overrides.yaml", JOBS[1])
    assert by_name(sweep)["0"]["settings"]["loss.T"] == "1"


def exchanged(sweep):
    (sweep / "0").rename(sweep / "x")
    (sweep / "1").rename(sweep / "0")
    (sweep / "x").rename(sweep / "1")


def other_notes(sweep):
    begin_sweep(
        sweep, [], [[*job[:2], f"loss.T={T}"] for job, T in zip(JOBS, (8, 16), strict=True)]
    )


@pytest.mark.parametrize("spoil", [exchanged, other_notes])
def test_the_run_of_another_job_is_never_shown_as_done(sweep, spoil):
    spoil(sweep)
    for job in by_name(sweep).values():
        assert (job["status"], job["code"]) == ("foreign", 6)
        assert job["test"] is job["validation"] is job["train"] is None
        assert "holds the run of another sweep or job: loss." in job["error"]


def test_a_report_leaves_out_the_runs_of_other_jobs_and_says_so(sweep):
    exchanged(sweep)
    with pytest.raises(ConfigError, match="no finished run to report"):
        compare([sweep])
    assert set(foreign_jobs(sweep)) == {sweep / "0", sweep / "1"}


def test_a_config_that_was_changed_is_damaged(sweep):
    path = sweep / "0" / "config.yaml"
    path.write_text(path.read_text().replace("T: 1.0", "T: 4.0"))
    job = by_name(sweep)["0"]
    assert (job["status"], job["test"]) == ("interrupted", None)
    assert "config.yaml is damaged: its checksum differs" in job["error"]


def test_a_job_that_was_not_begun_is_missing(sweep):
    begin_sweep(sweep, [], [*JOBS, ["student=mlp", "loss=kd", "loss.T=9"]])
    job = by_name(sweep)["2"]
    assert (job["status"], job["code"], job["settings"]["loss.T"]) == ("missing", 6, "9")


def test_a_run_that_lost_its_summary_is_to_be_gone_on_with(sweep):
    (sweep / "0" / "summary.json").unlink()  # as a reopening that was killed leaves it
    job = by_name(sweep)["0"]
    assert (job["status"], job["error"], job["code"]) == ("interrupted", "", 75)


def test_without_a_list_the_jobs_are_those_begun(sweep):
    begin_sweep(sweep, [], None)
    assert {name: job["status"] for name, job in by_name(sweep).items()} == {
        "0": "done",
        "1": "done",
    }
    exchanged(sweep)
    assert all(job["status"] == "done" for job in by_name(sweep).values())
    write_yaml(sweep / "0" / "overrides.yaml", ["loss.T=8"])
    assert by_name(sweep)["0"]["status"] == "foreign"


def test_a_job_that_is_a_link_is_told_and_nothing_is_made_behind_it(sweep, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "run"
    (sweep / "0").rename(elsewhere)
    (elsewhere / "summary.json").unlink()  # so that it is asked whether a process works there
    (sweep / "0").symlink_to(elsewhere)
    before = {path.name: path.read_bytes() for path in elsewhere.iterdir()}
    job = by_name(sweep)["0"]
    assert (job["status"], job["code"], job["test"]) == ("foreign", 6, None)
    assert "0 is a link" in job["error"]
    assert set(foreign_jobs(sweep)) == {sweep / "0"}
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == before


def test_the_run_of_a_sweep_with_another_setting_that_neither_lists_is_foreign(
    make_config, tmp_path
):
    given = OmegaConf.structured(make_config("student=mlp", "loss=kd"))
    shared = shared_values(JOBS, given)
    begin_sweep(tmp_path, [], JOBS, shared)
    made_job(make_config, tmp_path / "0", [*JOBS[0], "train.lr=0.3"], 0.5)
    made_job(make_config, tmp_path / "1", [*JOBS[1], "train.threads=2", "train.epochs=99"], 0.7)
    jobs = by_name(tmp_path)
    assert jobs["0"]["status"] == "foreign"
    assert "train.lr is 0.3, not 0.05" in jobs["0"]["error"]
    assert jobs["1"]["status"] == "done"  # with what a resumed run may have changed


def test_notes_that_do_not_say_what_is_shared_are_damaged(sweep):
    write_yaml(sweep / "sweep.yaml", {"format": 1, "jobs": JOBS, "shared": [1]})
    with pytest.raises(DamagedError, match="does not say what its jobs share"):
        read_jobs(sweep)
