"""Config -> stages, and what a stage's hash depends on."""

from dataclasses import replace

import pytest

from kdrun.plan import build_plan, identity
from kdrun.store import stage_hash
from kdrun.terms import mixture, needs_teacher, term_weights


def digest(stage, **changes):
    known = {"data": "d", "augment": "crop", "precision": "fp32", "weights": None, "teachers": []}
    return stage_hash(identity(stage, **(known | changes)))


def test_a_run_is_teacher_student_and_control(make_config):
    stages = build_plan(make_config())
    assert [stage.role for stage in stages] == ["teacher", "student", "control"]
    assert [stage.teachers for stage in stages] == [(), (0,), ()]


def test_the_control_can_be_left_out(make_config):
    stages = build_plan(make_config("chain.control=false"))
    assert [stage.role for stage in stages] == ["teacher", "student"]


def test_alpha_zero_runs_no_teacher(make_config):
    stages = build_plan(make_config("loss.alpha=0"))
    assert [stage.role for stage in stages] == ["student"]


def test_alpha_zero_is_the_same_stage_as_the_control(make_config):
    student = build_plan(make_config("loss.alpha=0", "loss.T=7", "temperature=cosine"))[0]
    control = build_plan(make_config("loss.alpha=0.5"))[2]
    assert digest(student) == digest(control)


def test_a_teacher_of_the_students_architecture_is_another_network_than_the_control(make_config):
    teacher, _, control = build_plan(make_config("teacher=resnet8", "student=resnet8"))
    assert digest(teacher) != digest(control)


def test_members_of_an_ensemble_of_one_architecture_differ_in_their_seed(make_config):
    stages = build_plan(make_config("teacher=resnet8", "teacher.ensemble=[resnet8,resnet8]"))
    assert [stage.role for stage in stages[:3]] == ["teacher"] * 3
    assert len({digest(stage) for stage in stages[:3]}) == 3
    assert stages[3].teachers == (0, 1, 2)


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


def test_the_teacher_is_trained_without_the_students_label_smoothing(make_config):
    teacher, student, control = build_plan(make_config("loss.label_smoothing=0.1"))
    assert teacher.loss.label_smoothing == 0
    assert student.loss.label_smoothing == control.loss.label_smoothing == 0.1


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


def test_given_weights_make_a_stage_without_training(make_config):
    teacher = build_plan(make_config("teacher.weights=teacher.pt"))[0]
    assert teacher.pretrained
    longer = replace(teacher, train=replace(teacher.train, epochs=99))
    assert digest(teacher, weights={"identity": "w"}) == digest(longer, weights={"identity": "w"})


def test_effective_weights_are_alpha_and_its_complement(make_config):
    loss = make_config("loss.alpha=0.3").loss
    assert term_weights(loss) == {"soft": 0.3, "hard": 0.7}
    assert mixture(loss) == "0.3 kl(T=4) + 0.7 cross-entropy"


def test_given_weights_replace_alpha(make_config):
    loss = make_config("loss.weights.soft=9", "loss.weights.hard=0.1").loss
    assert term_weights(loss) == {"soft": 9, "hard": 0.1}


def test_only_a_mixture_with_a_soft_term_needs_a_teacher(make_config):
    assert needs_teacher(make_config("loss.alpha=1").loss)
    assert not needs_teacher(make_config("loss=none").loss)
