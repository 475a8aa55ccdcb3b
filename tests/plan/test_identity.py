import pytest

from kdrun.plan.build import build_plan
from kdrun.plan.identity import identity
from kdrun.store.stages import stage_hash


def digest(stage, **changes):
    known = {"data": "d", "augment": "crop", "precision": "fp32", "weights": None, "teachers": []}
    return stage_hash(identity(stage, **(known | changes)))


def test_alpha_zero_is_the_same_stage_as_the_control(make_config):
    student = build_plan(make_config("loss.alpha=0", "loss.T=7", "temperature=cosine"))[0]
    control = build_plan(make_config("loss.alpha=0.5"))[2]
    assert digest(student) == digest(control)


@pytest.mark.parametrize(
    "overrides",
    [
        ("loss=logit_mse", "loss.T=9"),
        ("loss=hard", "loss.T=9", "temperature=cosine"),
        ("temperature.end=3", "temperature.gamma=0.1"),
        ("loss.dkd.beta=2",),
        ("loss.hint.layers=[layer1]",),
    ],
    ids=str,
)
def test_options_that_the_loss_does_not_read_keep_the_hash(make_config, overrides):
    preset = [o for o in overrides if o.startswith("loss=")]
    before, after = (build_plan(make_config(*o))[1] for o in (preset, overrides))
    assert digest(before) == digest(after)


@pytest.mark.parametrize(
    "overrides",
    [
        ("loss=dkd", "loss.dkd.beta=2"),
        ("loss=dkd", "loss.dkd.warmup_epochs=2"),
        ("loss=hint", "loss.hint.layers=[layer1]"),
        ("loss=rkd", "loss.rkd.layer=layer1"),
        ("loss=attention", "loss.attention.kind=kl"),
        ("temperature=cosine", "temperature.end=3"),
        ("temperature=learned", "temperature.warmup_epochs=3"),
        ("loss=kd", "loss.standardize=true"),
        ("teacher.ensemble=[resnet8]", "teacher.ensemble_weights=[1,3]"),
    ],
    ids=str,
)
def test_options_that_the_loss_reads_change_the_hash(make_config, overrides):
    before, after = (
        next(s for s in build_plan(make_config(*o)) if s.role == "student")
        for o in (overrides[:1], overrides)
    )
    assert digest(before) != digest(after)


@pytest.mark.parametrize(
    "override", ["loss.T=2", "loss.alpha=0.5", "train.lr=0.2", "train.seed=1", "student=resnet8"]
)
def test_what_changes_the_result_changes_the_hash(make_config, override):
    before, after = (build_plan(make_config(*o))[1] for o in ([], [override]))
    assert digest(before) != digest(after)


@pytest.mark.parametrize(
    "override", ["train.device=cpu", "train.workers=0", "train.checkpoint_every=3min"]
)
def test_what_does_not_change_the_result_keeps_the_hash(make_config, override):
    before, after = (build_plan(make_config(*o))[1] for o in ([], [override]))
    assert digest(before) == digest(after)


def test_the_temperature_does_not_change_the_teacher(make_config):
    before, after = (build_plan(make_config(*o))[0] for o in ([], ["loss.T=9", "loss.alpha=0.1"]))
    assert digest(before) == digest(after)


@pytest.mark.parametrize(
    "change",
    [{"data": "e"}, {"precision": "bf16"}, {"teachers": ["x"]}, {"weights": {"identity": "w"}}],
)
def test_data_precision_teachers_and_weights_are_part_of_the_hash(make_config, change):
    stage = build_plan(make_config())[1]
    assert digest(stage) != digest(stage, **change)


@pytest.mark.parametrize(
    ("chosen", "unread"),
    [
        ("train=adamw", "train.momentum=0.5"),
        ("train=adamw", "train.nesterov=false"),
        ("train.schedule=cosine", "train.milestones=[0.5]"),
        ("train.schedule=constant", "train.gamma=0.3"),
    ],
)
def test_options_that_the_optimizer_or_the_schedule_does_not_read_keep_the_hash(
    make_config, chosen, unread
):
    before, after = (build_plan(make_config(*o))[1] for o in ([chosen], [chosen, unread]))
    assert digest(before) == digest(after)
