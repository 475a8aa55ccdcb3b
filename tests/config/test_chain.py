"""Chains and seeds in the config: options of single stages, and every way to be wrong."""

import pytest

from kdrun.config.stage_overrides import stage_options
from kdrun.errors import ConfigError

CHAIN = ("chain=assistants", "chain.assistants=[resnet14]", "student=resnet8")


def test_a_stage_has_its_own_options_and_the_common_ones(make_config):
    config = make_config(*CHAIN, "chain.stage.1.loss.T=2", "chain.stage.2.train.epochs=7")
    first, second = stage_options(config, 1), stage_options(config, 2)
    assert (first.loss.T, first.train.epochs) == (2.0, 25)
    assert (second.loss.T, second.train.epochs) == (4.0, 7)
    assert first.temperature == second.temperature == config.temperature
    assert stage_options(config, 0).train == config.train


def test_values_of_a_stage_have_the_types_of_the_schema(make_config):
    config = make_config("chain.stage.1.loss.T=2", "chain.stage.1.loss.weights.soft=3")
    own = stage_options(config, 1).loss
    assert [type(own.T), type(own.weights.soft)] == [float, float]
    assert own.weights.hard is None


def test_an_assistant_may_be_a_wider_network_of_the_students_kind(make_config):
    chain = ("chain=assistants", "chain.assistants=[mlp]", "student=mlp", "student.width=9")
    assert make_config(*chain).chain.assistants == ["mlp"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["chain=assistants"], "chain.assistants: is empty"),
        (["chain=assistants", "chain.assistants=[resnt14]"], "did you mean 'resnet14'?"),
        (["chain=assistants", "chain.assistants=[resnet14,resnet14]"], "resnet14 appears twice"),
        (["chain=assistants", "chain.assistants=[resnet20]"], "resnet20 appears twice"),
        (["chain=assistants", "chain.assistants=[mlp]", "student=mlp"], "mlp appears twice"),
        (["chain.assistants=[resnet14]"], "is for chain=assistants, not none"),
        (["chain=born_again", "chain.generations=1"], "must be at least 2"),
        (["chain=born_again", "loss=none"], "no term of the loss reads a teacher"),
        (["chain=born_again", "student.weights=x.pt"], "each generation .* is a fresh network"),
        (["chain.stop_early=true"], "is for chain=born_again, not none"),
        (["chain.ratio=1"], "must be above 1"),
        (["chain.stage.1.loss.TT=2"], r"did you mean 'chain\.stage\.1\.loss\.T'\?"),
        (["chain.stage.1.los.T=2"], r"did you mean 'chain\.stage\.1\.loss'\?"),
        (["chain.stage.1.loss.T=0"], r"chain\.stage\.1\.loss\.T=0: must be above 0"),
        (
            ["chain.stage.1.train.epochs=1.5"],
            r"chain\.stage\.1\.train\.epochs=1\.5: must be a whole number",
        ),
        (["chain.stage.1.train.warmup_epochs=99"], r"chain\.stage\.1: train\.warmup_epochs=99"),
        (["chain.stage.1.train.seed=3"], "applies to the whole run; set train.seed"),
        (["chain.stage.1.loss=2"], "is a section"),
        (["chain.stage.x.loss.T=2"], "a stage 0, 1, "),
        (["chain.stage.1=3"], "a stage 0, 1, "),
        (["chain.stage.2.loss.T=2"], "the chain's last stage is 1"),
        (["chain.stage.0.loss.T=2"], "learns from labels alone"),
        ([*CHAIN, "chain.stage.2.loss.alpha=0"], r"chain\.stage\.2: .* reads a teacher"),
        (["seeds=[0,0]"], "must be different whole numbers"),
        (["seeds=[-1]"], "must be different whole numbers"),
    ],
    ids=str,
)
def test_a_wrong_chain_is_told_in_one_line(make_config, overrides, told):
    with pytest.raises(ConfigError, match=told) as caught:
        make_config(*overrides)
    assert "\n" not in str(caught.value)
