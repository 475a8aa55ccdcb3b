"""Config -> stages, and what a stage's hash depends on."""

from dataclasses import replace

from kdrun.plan.build import build_plan
from tests.plan.test_identity import digest


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


def test_a_teacher_of_the_students_architecture_is_another_network_than_the_control(make_config):
    teacher, _, control = build_plan(make_config("teacher=resnet8", "student=resnet8"))
    assert digest(teacher) != digest(control)


def test_members_of_an_ensemble_of_one_architecture_differ_in_their_seed(make_config):
    stages = build_plan(make_config("teacher=resnet8", "teacher.ensemble=[resnet8,resnet8]"))
    assert [stage.role for stage in stages[:3]] == ["teacher"] * 3
    assert len({digest(stage) for stage in stages[:3]}) == 3
    assert stages[3].teachers == (0, 1, 2)


def test_the_teacher_is_trained_without_the_students_label_smoothing(make_config):
    teacher, student, control = build_plan(make_config("loss.label_smoothing=0.1"))
    assert teacher.loss.label_smoothing == 0
    assert student.loss.label_smoothing == control.loss.label_smoothing == 0.1


def test_given_weights_make_a_stage_without_training(make_config):
    teacher = build_plan(make_config("teacher.weights=teacher.pt"))[0]
    assert teacher.pretrained
    longer = replace(teacher, train=replace(teacher.train, epochs=99))
    assert digest(teacher, weights={"identity": "w"}) == digest(longer, weights={"identity": "w"})
