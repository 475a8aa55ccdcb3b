"""Settings that change nothing are told, and no others."""

import pytest

from kdrun.idle import idle_lines


@pytest.fixture
def idle(make_config):
    return lambda *overrides: idle_lines(make_config(*overrides), overrides)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["loss=dist", "loss.alpha=0.9"], "loss.weights.soft=1 and loss.weights.hard=1 are set"),
        (["loss=none", "loss.alpha=0.9"], "the loss has no soft term"),
        (["loss=hint", "loss.alpha=0.9"], "the loss has no soft term"),
        (["loss=hard", "loss.T=7"], "loss.soft=hard reads no T"),
        (["temperature=learned", "loss.T=7"], "temperature=learned finds its own"),
        (["temperature.end=3"], "temperature=constant does not read it"),
        (["temperature=linear", "temperature.gamma=0.3"], "temperature=linear does not read it"),
        (["chain.generations=5"], "chain=none"),
        (["loss=kd", "loss.dkd.beta=2"], "loss.soft=kl"),
    ],
)
def test_what_changes_nothing_is_told_with_the_reason(idle, words, why):
    assert idle(*words) == [f"{words[-1]} changes nothing: {why}"]


@pytest.mark.parametrize(
    "words",
    [
        ["loss.alpha=0.5", "loss.T=2", "loss=[kd,hint]"],
        ["loss=dkd", "loss.T=2", "loss.dkd.beta=2"],
        ["loss=dkd", "loss.weights.hard=null", "loss.alpha=0.3"],
        ["temperature=linear", "temperature.end=3", "loss.T=8"],
        ["temperature=auto", "temperature.method=cmi"],
        ["chain=born_again", "chain.generations=3", "student=resnet8"],
        ["chain.control=false"],
        ["loss=hard", "loss.T=3", "chain.stage.1.loss.soft=kl"],
    ],
)
def test_what_is_read_is_not(idle, words):
    assert idle(*words) == []
