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


def hydra_section(*overrides, **changed):
    with whole_config([f"hydra.overrides.task=[{','.join(map(written, overrides))}]"]) as whole:
        OmegaConf.set_readonly(whole.hydra, False)
        for key, value in changed.items():
            OmegaConf.update(whole.hydra, key.replace("_", "."), value)
        return whole.hydra


def test_jobs_are_listed_as_hydra_numbers_them():
    jobs = planned_jobs(hydra_section("loss.T=1,4", "loss=kd,[kd,rkd]"))
    assert jobs == [
        ["loss.T=1", "loss=kd"], ["loss.T=1", "loss=[kd,rkd]"],
        ["loss.T=4", "loss=kd"], ["loss.T=4", "loss=[kd,rkd]"],
    ]  # fmt: skip


def test_jobs_whose_folders_have_other_names_are_not_listed_by_number():
    assert planned_jobs(hydra_section("loss.T=1,4", sweep_subdir="T-${loss.T}")) is None


def test_a_sweep_has_one_output_root():
    with pytest.raises(ConfigError, match="one output root"):
        planned_jobs(hydra_section("output_root=a,b"))
