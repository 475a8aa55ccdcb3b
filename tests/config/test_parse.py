"""The config as composed from the shipped YAML, and every way in which it can be wrong."""

import math

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from kdrun.config import compose as kdrun_compose
from kdrun.config.parse import keys, parse
from kdrun.config.paths import config_folder
from kdrun.errors import ConfigError


@pytest.fixture(scope="module", autouse=True)
def hydra_folder():
    kdrun_compose.register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        yield


def fault(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(compose("config", list(overrides)))
    return str(caught.value)


def test_the_defaults_are_a_valid_config():
    config = parse(compose("config"))
    assert config.dataset.name == "digits"
    assert (config.loss.alpha, config.loss.T) == (0.9, 4.0)


def test_every_key_has_a_default_or_is_chosen_by_a_group():
    composed = OmegaConf.to_container(compose("config"))
    for key in keys():
        node = composed
        for part in key.split("."):
            assert part in node, key
            node = node[part]


def test_every_key_is_explained_in_the_shipped_yaml():
    text = (config_folder() / "config.yaml").read_text()
    for line in text.partition("\n\n")[2].partition("\nhydra:")[0].splitlines():
        if ":" in line and not line.rstrip().endswith(":"):
            explained = "#" in line or line.split(":")[0].strip() in SELF_EXPLAINING
            assert explained, line


SELF_EXPLAINING = {
    *("library", "stem", "width", "depth", "arch"),  # explained at the teacher
    *("num_images", "channels", "epochs", "batch_size", "eval_batch_size"),
}


@pytest.mark.parametrize("T", ["4", "0.001", "1000", "inf"])
def test_temperatures_in_range_are_accepted(T):
    assert float(T) == parse(compose("config", [f"loss.T={T}"])).loss.T


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("loss.T=0", "loss.T=0: must be above 0 and at most 1000, or inf"),
        ("loss.T=-1", "loss.T=-1: must be above 0"),
        ("loss.T=nan", "loss.T=nan: must be above 0"),
        ("loss.T=-inf", "loss.T=-inf: must be above 0"),
        ("dataset.range=[3]", "dataset.range=[3.0]: must be two finite numbers"),
        ("dataset.range=[9,9]", "dataset.range=[9.0, 9.0]: must be two finite numbers"),
        ("dataset.range=[0,inf]", "dataset.range=[0.0, inf]: must be two finite numbers"),
        ("dataset.range=[nan,1]", "dataset.range=[nan, 1.0]: must be two finite numbers"),
        ("dataset.channels=2", "dataset.channels=2: must be 1 (grey) or 3 (colour)"),
        ("loss.alpha=2", "loss.alpha=2: must be at least 0 and at most 1"),
        ("loss.alpha=nan", "loss.alpha=nan: must be"),
        ("train.epochs=0", "train.epochs=0: must be at least 1"),
        ("train.lr=inf", "train.lr=inf: must be above 0"),
        ("train.batch_size=-3", "train.batch_size=-3: must be at least 2"),
        ("train.ema=1", "train.ema=1: must be above 0 and below 1"),
        ("dataset.val_fraction=1", "dataset.val_fraction=1: must be at least 0 and below 1"),
        ("train.seed=-1", "train.seed=-1: must be at least 0"),
        ("train.schedule=cosin", "must be one of cosine, step, constant; did you mean 'cosine'?"),
        ("train.milestones=[0.9,0.5]", "must be rising fractions"),
        ("train.warmup_epochs=99", "must be below train.epochs=25"),
        ("teacher.arch=resnt50", "unknown model; did you mean 'resnet50'?"),
        ("+loss.alhpa=1", "unknown key 'loss.alhpa'; did you mean 'loss.alpha'?"),
        ("+foo=1", "unknown key 'foo'"),
        ("++train.epoch=3", "did you mean 'train.epochs'?"),
        ("output_root=''", "output_root: must name a folder"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_with_what_is_allowed(override, told):
    message = fault(override)
    assert told in message
    assert "\n" not in message


def test_all_faults_are_told_together():
    message = fault("loss.T=0", "train.epochs=0", "+foo=1", "dataset.limit=0")
    assert len(message.splitlines()) == 4


def test_a_timm_model_needs_its_name():
    assert "teacher.arch: must be given" in fault("teacher=timm")


def test_a_mixture_without_any_weight_is_refused():
    assert "every term has weight 0" in fault("loss=none", "loss.weights.hard=0")


def test_angles_need_batches_of_three_images():
    assert "loss.rkd.angle needs at least 3 images" in fault("loss=rkd", "train.batch_size=2")
    parse(compose("config", ["loss=rkd", "train.batch_size=3"]))
    parse(compose("config", ["loss=rkd", "loss.rkd.angle=0", "train.batch_size=2"]))


def test_an_infinite_temperature_cannot_be_scheduled():
    assert "needs temperature=constant" in fault("loss.T=inf", "temperature=cosine")


def test_a_value_in_place_of_a_section_is_refused():
    broken = compose("config")
    OmegaConf.set_struct(broken, False)
    untyped = OmegaConf.create(OmegaConf.to_container(broken))
    untyped.loss = 3
    with pytest.raises(ConfigError, match="loss=3: is a section"):
        parse(untyped)


@settings(max_examples=60, deadline=None)
@given(alpha=st.floats(), T=st.floats(), epochs=st.integers(-5, 5))
def test_parse_accepts_a_config_exactly_when_every_number_is_in_range(alpha, T, epochs):
    untyped = OmegaConf.create(OmegaConf.to_container(compose("config")))
    untyped.loss.alpha, untyped.loss.T, untyped.train.epochs = alpha, T, epochs
    untyped.train.warmup_epochs = 0
    valid = 0 <= alpha <= 1 and (0 < T <= 1000 or math.inf == T) and epochs >= 1
    if valid:
        assert parse(untyped).loss.alpha == alpha
    else:
        with pytest.raises(ConfigError):
            parse(untyped)
