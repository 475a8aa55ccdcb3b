"""Settings that change nothing are told, and no others."""

import pytest

from kdrun.config.unused_settings import idle_lines

STARTS = "chain=born_again starts from the student's architecture"


@pytest.fixture
def idle(make_config):
    return lambda *overrides: idle_lines(make_config(*overrides), overrides)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["loss=dist", "loss.alpha=0.9"], "loss.dist.weight=1 and loss.weights.hard=1 are set"),
        (["seeds=[0,1]", "train.seed=3"], "seeds=[0,1] is set; leave one of them out"),
        (["loss=none", "loss.alpha=0.9"], "the loss has no soft term"),
        (["loss=hint", "loss.alpha=0.9"], "the loss has no soft term"),
        (["loss=hard", "loss.T=7"], "0.5 teacher_argmax + 0.5 cross-entropy reads no scheduled T"),
        (["temperature=learned", "loss.T=7"], "temperature=learned finds its own T"),
        (["temperature.end=3"], "temperature.schedule=constant does not read it"),
        (
            ["temperature=linear", "temperature.gamma=0.3"],
            "temperature.schedule=linear does not read it",
        ),
        (
            ["temperature=auto", "temperature.pilot_share=0.1"],
            "temperature.method=guideline does not read it",
        ),
        (["chain.generations=5"], "chain.method=none does not read it"),
        (["loss=kd", "loss.dkd.beta=2"], "dkd is not a term of 0.9 kl(T=4) + 0.1 cross-entropy"),
        (
            ["loss=kd", "loss.rkd.layer=layer1"],
            "rkd is not a term of 0.9 kl(T=4) + 0.1 cross-entropy",
        ),
        (["loss=dkd", "loss.weights.soft=2"], "loss.dkd.weight=1 is set"),
        (["loss.soft=dkd", "loss.dkd.weight=0"], "loss.soft=dkd selects the only soft term"),
        (
            ["loss=[kd,dkd]", "loss.dkd.T=2", "loss.kl.T=3", "loss.T=5"],
            "0.9 kl(T=3) + 1 dkd(T=2) + 1 cross-entropy reads no scheduled T",
        ),
        (["chain=born_again", "teacher=resnet20"], STARTS),
        (["chain=born_again", "teacher.width=3"], STARTS),
        (["loss=none", "teacher=resnet20"], "no term of the loss reads a teacher"),
        (
            ["chain=assistants", "chain.assistants=[resnet14]", "chain.generations=3"],
            "chain.method=assistants does not read it",
        ),
        (["chain=born_again", "chain.ratio=3"], "chain.method=born_again does not read it"),
        (["train=adamw", "train.momentum=0.5"], "train.optimizer=adamw does not read it"),
        (
            ["train.schedule=cosine", "train.milestones=[0.5]"],
            "train.schedule=cosine does not read it",
        ),
        (["train.max_skipped=3"], "train.on_nonfinite=stop"),
        (["dataset=digits", "dataset.num_classes=3"], "dataset.name=digits does not read it"),
        (["dataset=digits", "dataset.range=[0,9]"], "dataset.name=digits does not read it"),
        (["dataset=digits", "dataset.root=/data"], "dataset.name=digits does not read it"),
        (["cache.mode=off", "cache.views=3"], "cache.mode=off"),
        (["cache.mode=auto", "cache.dtype=float16"], "cache.mode=auto keeps every bit"),
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
        ["loss=[kd,dkd]", "loss.alpha=0.3", "loss.T=5", "loss.dkd.T=2"],
        ["loss=[kd,dkd]", "loss.weights.soft=2"],
        ["loss=rkd", "loss.rkd.angle=0", "loss.rkd.layer=layer1"],
        ["temperature=linear", "temperature.end=3", "loss.T=8"],
        ["temperature=auto", "temperature.method=cmi"],
        ["chain=born_again", "chain.generations=3", "student=resnet8"],
        ["chain.control=false"],
        ["chain=born_again", "teacher.min_accuracy=0"],
        ["chain=auto", "chain.ratio=3", "chain.max_assistants=1"],
        ["train.schedule=step", "train.milestones=[0.5]", "train.gamma=0.2"],
        ["train.on_nonfinite=skip", "train.max_skipped=3"],
        ["dataset=fake", "dataset.num_classes=3", "dataset.channels=1"],
        ["cache.mode=on", "cache.dtype=float16", "cache.topk=5"],
        ["dataset=cifar10", "dataset.root=/data", "dataset.download=false"],
        ["dataset=imagefolder", "dataset.root=/data", "dataset.range=[0,9]"],
        ["dataset=digits", "dataset.image_size=16"],
        ["cache.views=3"],
        ["teacher=resnet20", "loss=kd"],
        ["loss=hard", "loss.T=3", "chain.stage.1.loss.soft=kl"],
    ],
)
def test_what_is_read_is_not(idle, words):
    assert idle(*words) == []
