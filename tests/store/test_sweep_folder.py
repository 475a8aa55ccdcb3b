"""A sweep's notes, which may come from anyone: plain settings, or refused in one line."""

import pytest

from kdrun.errors import ConfigError, DamagedError, OutputError
from kdrun.store.files import write_yaml
from kdrun.store.run_folder import occupied
from kdrun.store.sweep_folder import begin_sweep, begun_jobs, listed_jobs, refuse_taken

JOBS = [["loss.T=1", "seeds=[0,1]"], ["loss.T=4", "seeds=[0,1]"]]

STRANGE = [
    *("dataset.root=${oc.env:SECRET}", "dataset.root=$\\{oc.env\\:SECRET\\}", "loss.T=[1,'${x}']"),
    *("dataset=../../x", "dataset=/etc/x", "loss=[kd,../x]", "loss=[kd,/x]", "dataset=file:///x"),
    *("recipe=cifar100/../../x", "+loss.T=3", "++loss.T=3", "~loss", "~loss.T=3", "loss@train=kd"),
    *("hydra.searchpath=[file:///x]", "hydra/launcher=x", "hydra={run:{dir:x}}", "--config-dir=/x"),
    *("loss.T", "", "=3", "dataset='../x'", 'dataset="../x"', "dataset={root:/x}"),
]


@pytest.mark.parametrize("override", STRANGE)
def test_an_override_that_is_more_than_a_value_is_refused(tmp_path, override):
    write_yaml(tmp_path / "sweep.yaml", {"format": 1, "jobs": [["loss.T=1"], [override]]})
    with pytest.raises(ConfigError, match=r"sweep\.yaml: .*, which a sweep never stores"):
        listed_jobs(tmp_path)
    (tmp_path / "0").mkdir()
    write_yaml(tmp_path / "0" / "overrides.yaml", [override])
    with pytest.raises(ConfigError, match=r"overrides\.yaml: .*, which a sweep never stores"):
        begun_jobs(tmp_path)


@pytest.mark.parametrize("jobs", [3, "loss.T=1", {"a": 1}, [3], ["loss.T=1"], [[3]], [[["x=1"]]]])
def test_notes_of_another_form_are_damaged(tmp_path, jobs):
    write_yaml(tmp_path / "sweep.yaml", {"format": 1, "jobs": jobs})
    with pytest.raises(DamagedError, match=r"sweep\.yaml is damaged"):
        listed_jobs(tmp_path)


def test_plain_settings_are_read_as_written_and_the_output_root_is_not(tmp_path):
    job = ["loss=[kd,rkd]", "recipe=cifar100/kd", "teacher.weights=/a/../b c.pt", "seeds=[0, 1]"]
    begin_sweep(tmp_path, [], [[*job, "output_root=/elsewhere"]])
    assert listed_jobs(tmp_path) == {"0": job}


def notes_with(tmp_path, *folders):
    write_yaml(tmp_path / "sweep.yaml", {"jobs": [["loss.T=1"]] * len(folders), "folders": folders})


@pytest.mark.parametrize(
    "folders",
    [
        *(("../x",), ("/x",), ("a/../../x",), ("",), (".",), ("a//b",), (3,), ("a\0b",), ("a\nb",)),
        *(("${oc.env:HOME}",), ("$\\{oc.env\\:HOME\\}",), ("a", "a"), ("a", "a/b"), ("a/b", "a")),
    ],
)
def test_folders_that_are_not_each_a_job_s_own_are_damaged(tmp_path, folders):
    notes_with(tmp_path, *folders)
    with pytest.raises(DamagedError, match="does not name a folder for every job"):
        listed_jobs(tmp_path)


def test_folders_of_a_list_are_its_jobs(tmp_path):
    notes_with(tmp_path, "a/T=1", "a/T=10", "b")
    assert list(listed_jobs(tmp_path)) == ["a/T=1", "a/T=10", "b"]
    write_yaml(tmp_path / "sweep.yaml", {"jobs": [["loss.T=1"]] * 2, "folders": ["a"]})
    with pytest.raises(DamagedError):
        listed_jobs(tmp_path)


def test_no_job_is_reached_through_a_link_or_another_sweep(tmp_path):
    notes_with(tmp_path, "a/0", "b")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="a: is a link"):
        listed_jobs(tmp_path)
    (tmp_path / "a").unlink()
    begin_sweep(tmp_path / "a", [], JOBS)
    with pytest.raises(DamagedError, match="it has jobs in the sweep"):
        listed_jobs(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        *("config.yaml", "sweep.yaml", "0/overrides.yaml", "3/config.yaml"),
        *("loss.T=1/overrides.yaml", "a/b/overrides.yaml"),
    ],
)
def test_a_folder_that_holds_a_run_or_a_sweep_is_not_taken(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=r"holds .* already; resume it with 'kdrun resume .*'"):
        refuse_taken(tmp_path, JOBS, claimed=True)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("jobs", "told"), [(JOBS, "this sweep"), (JOBS[:1], "another sweep"), (None, "another sweep")]
)
def test_the_same_sweep_is_told_from_another(tmp_path, jobs, told):
    begin_sweep(tmp_path, [], JOBS)
    with pytest.raises(OutputError, match=f"holds {told} already"):
        refuse_taken(tmp_path, jobs)


def test_a_sweep_that_is_running_is_in_use(tmp_path):
    with occupied(tmp_path):
        begin_sweep(tmp_path, [], JOBS)
        with pytest.raises(OutputError, match="in use by another process"):
            refuse_taken(tmp_path, JOBS)


def test_a_folder_of_something_else_is_free(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "config.yaml").touch()
    refuse_taken(tmp_path, JOBS)
    refuse_taken(tmp_path / "new", JOBS)
