"""Overrides of a sweep's jobs as plain values: what they refer to is looked up once."""

import pytest
from omegaconf import OmegaConf

from kdrun.config.compose import compose_job, whole_config
from kdrun.config.sweep_overrides import compose_listed, planned_jobs, resolved_job, written
from kdrun.errors import ConfigError


@pytest.mark.parametrize(
    "value",
    [
        *("plain", "a b", "it's", 'say "x"', "back\\slash", "end\\", "\\'", "a=b,c", "null", "3"),
        *("ключ", "[x]", "", 3, 0.5, 1e-5, True, None, ["a b", "c,d"], {"k": ["it's", 1]}),
    ],
)
def test_a_written_value_is_read_as_it_was(value):
    composed = compose_job([f"chain.stage={{x: {written(value)}}}"])
    found = OmegaConf.to_container(composed.chain.stage)["x"]
    assert (found, type(found)) == (value, type(value))


def test_references_are_replaced_by_their_values(monkeypatch):
    monkeypatch.setenv("DATA", "/data/of mine/it's")
    job = ["loss=[kd,rkd]", "dataset.root=${oc.env:DATA}", "loss.T=${train.epochs}"]
    job += ["train.seed=$\\{hydra\\:job.num\\}", "train.epochs=7", "++student.width=4"]
    found = resolved_job(job, 3, None)
    monkeypatch.delenv("DATA")
    composed = compose_listed(found)
    assert not any("{" in one for one in found)
    assert composed.dataset.root == "/data/of mine/it's"
    assert (composed.loss.T, composed.train.seed, composed.student.width) == (7, 3, 4)


def test_a_reference_that_leads_nowhere_is_refused(monkeypatch):
    monkeypatch.delenv("DATA", raising=False)
    with pytest.raises(ConfigError, match="'DATA' not found"):
        resolved_job(["dataset.root=${oc.env:DATA}"], 0, None)


@pytest.mark.parametrize("override", ["~recipe", "loss@train=kd", "dataset=../x"])
def test_what_could_not_be_read_back_is_refused_before_the_sweep(override):
    with pytest.raises(ConfigError, match="could not be resumed; a sweep takes key=value"):
        resolved_job([override], 0, None)


@pytest.mark.parametrize("override", ["dataset.root='$''{x}'", "dataset.root=$\\{oc.env\\:HOME\\}"])
def test_a_listed_value_that_turns_into_a_reference_is_refused(override):
    with pytest.raises(ConfigError):
        compose_listed([override])


def sweep_config(*overrides, **changed):
    """The config of a sweep, as Hydra's callbacks get it."""
    with whole_config([f"hydra.overrides.task=[{','.join(map(written, overrides))}]"]) as whole:
        OmegaConf.set_readonly(whole.hydra, False)
        for key, value in changed.items():
            OmegaConf.update(whole.hydra, key.replace("_", "."), value)
            whole.hydra.overrides.hydra.append(f"hydra.{key.replace('_', '.')}={value}")
        return whole


def test_jobs_are_listed_as_hydra_numbers_them():
    planned = planned_jobs(sweep_config("loss.T=1,4", "loss=kd,[kd,rkd]"))
    assert planned.overrides == [
        ["loss.T=1", "loss=kd"], ["loss.T=1", "loss=[kd,rkd]"],
        ["loss.T=4", "loss=kd"], ["loss.T=4", "loss=[kd,rkd]"],
    ]  # fmt: skip
    assert planned.folders is None


@pytest.mark.parametrize(
    ("subdir", "folders"),
    [
        ("T-${loss.T}", ["T-1.0", "T-4.0"]),
        ("${hydra.job.override_dirname}", ["loss.T=1,student=mlp", "loss.T=4,student=mlp"]),
        ("${student.arch}/job-${hydra.job.num}", ["mlp/job-0", "mlp/job-1"]),
    ],
)
def test_folders_of_other_names_are_those_that_hydra_makes(subdir, folders):
    config = sweep_config("loss.T=1,4", "student=mlp", sweep_subdir=subdir)
    assert planned_jobs(config).folders == folders


@pytest.mark.parametrize(
    ("subdir", "told"),
    [
        ("same", "jobs 0 and 1 would be in 'same'"),
        ("${student.arch}", "jobs 0 and 1 would be in 'mlp'"),
        ("../${loss.T}", "which is not a folder below"),
        ("/tmp/${loss.T}", "which is not a folder below"),
    ],
)
def test_a_job_without_a_folder_of_its_own_below_the_sweep_is_refused(subdir, told):
    with pytest.raises(ConfigError, match=told):
        planned_jobs(sweep_config("loss.T=1,4", "student=mlp", sweep_subdir=subdir))


def test_jobs_of_another_sweeper_are_not_known_beforehand():
    config = sweep_config("loss.T=1,4")
    config.hydra.sweeper._target_ = "other.Sweeper"
    assert planned_jobs(config) is None


def test_a_sweep_has_one_output_root():
    with pytest.raises(ConfigError, match="one output root"):
        planned_jobs(sweep_config("output_root=a,b"))
