"""What may be another when a run goes on, and how it is read."""

import pytest
from omegaconf import OmegaConf

from kdrun.config.parse import flat
from kdrun.errors import ConfigError
from kdrun.runs.resume_overrides import CHANGEABLE, EPOCHS, checked_overrides, checked_places
from kdrun.runs.saved_run import parsed

VALUES = {
    "dataset.download": "false",
    "dataset.root": "elsewhere",
    "analysis": "off",
    "logger": "tensorboard",
    "output_root": "2024-01-01",
    "teacher.min_accuracy": "0.5",
    "train.checkpoint_every": "10min",
    "train.compile": "true",
    "train.device": "'cuda:0'",
    "train.eval_batch_size": "7",
    "train.keep_last": "3",
    "train.lockstep": "4",
    "train.max_skipped": "11",
    "train.on_nonfinite": "skip",
    "train.threads": "1",
    "train.workers": "0",
    EPOCHS: "'3'",
}


@pytest.fixture
def changed(make_config, tmp_path):
    """The Config of a run that was begun with the defaults and goes on with the overrides."""
    saved = OmegaConf.create(OmegaConf.to_container(OmegaConf.structured(make_config())))
    return lambda *overrides: parsed(saved, tmp_path, checked_overrides(overrides))


@pytest.mark.parametrize("key", sorted(CHANGEABLE | {EPOCHS}))
def test_a_value_means_what_it_means_to_a_new_run(key, make_config, changed):
    override = f"{key}={VALUES[key]}"
    config = flat(changed(override))
    assert config == flat(make_config(override))
    assert config[key] != flat(make_config())[key]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.workers=0,1", "resume takes one value per key"),
        ("train.workers=range(3)", "resume takes one value per key"),
        ("train.workers=[0", r"train\.workers=\[0: '\[' is not closed; write"),
        ("train.workers", "is not a setting; write key=value"),
        ("train.lr=0.1", "would change the result"),
    ],
)
def test_what_is_no_change_is_refused(override, told):
    with pytest.raises(ConfigError, match=told):
        checked_overrides([override])


def test_where_nothing_is_trained_epochs_are_none_to_change():
    assert checked_places(["train.device=cpu"]) == {"train.device": "cpu"}
    with pytest.raises(ConfigError, match="nothing is trained here"):
        checked_places(["train.epochs=9"])


def test_a_setting_that_is_younger_than_the_run_has_its_default(make_config, tmp_path):
    saved = OmegaConf.create(OmegaConf.to_container(OmegaConf.structured(make_config("loss.T=7"))))
    del saved.train.threads, saved.cache, saved.loss.hint.weight
    assert flat(parsed(saved, tmp_path, {})) == flat(make_config("loss.T=7"))
    assert flat(parsed(saved, tmp_path, {"train.threads": 1}))["train.threads"] == 1


@pytest.mark.parametrize("value", ["${nowhere}", "{a: 1}", "[1]", "soon"])
def test_a_value_of_another_kind_is_refused_as_by_a_new_run(value, changed):
    with pytest.raises(ConfigError, match=r"train\.workers"):
        changed(f"train.workers={value}")
