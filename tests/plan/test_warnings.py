"""What a plan warns of."""

import pytest

from kdrun.catalog.datasets import ImageShape
from kdrun.plan.build import build_plan
from kdrun.plan.warnings import plan_warnings
from kdrun.training.stage_model import count_sizes

SHAPE = ImageShape(10, 3, 32)


@pytest.fixture
def warned(make_config):
    def warned(*overrides, shape=SHAPE):
        stages = build_plan(make_config(*overrides))
        return plan_warnings(stages, [count_sizes(stage, shape)[0] for stage in stages], shape)

    return warned


def test_a_student_of_more_than_half_the_size_is_warned_of_once_for_all_seeds(warned):
    (line,) = warned("teacher=resnet20", "student=resnet14", "seeds=[0,1]")
    assert line == (
        "student resnet14 is only 1.55x smaller than resnet20: below 2x there is little to compress"
    )
    assert warned("teacher=resnet20", "student=resnet8") == []


def test_of_a_chain_the_ends_are_compared(warned):
    chain = ("teacher=resnet20", "chain=assistants", "chain.assistants=[resnet14]")
    assert warned(*chain, "student=resnet8") == []
    chain = ("teacher=resnet56", "chain=assistants", "chain.assistants=[resnet44]")
    (line,) = warned(*chain, "student=resnet32")
    assert "student resnet32 is only 1.83x smaller than resnet56" in line


def test_several_teachers_count_together(warned):
    assert warned("teacher=resnet20", "student=resnet14", "teacher.ensemble=[resnet20]") == []


def test_self_distillation_is_not_warned_of(warned):
    assert warned("teacher=resnet20", "student=resnet20") == []
    assert warned("chain=born_again", "student=resnet8") == []


def test_an_assistant_larger_than_its_teacher_is_warned_of(warned):
    words = ("teacher=resnet20", "student=resnet8", "chain=assistants")
    (line,) = warned(*words, "chain.assistants=[resnet32]", "seeds=[0,1]")
    assert line == "assistant resnet32 is larger than its teacher resnet20"


@pytest.mark.parametrize(("loss", "dead"), [("dkd", "beta"), ("nkd", "gamma")])
def test_losses_on_the_other_classes_are_warned_of_where_there_is_one(warned, loss, dead):
    pair = ("teacher=resnet20", "student=resnet8", f"loss={loss}")
    (line,) = warned(*pair, shape=ImageShape(2, 3, 32))
    assert f"loss.{loss}.{dead}, is always 0" in line
    assert warned(*pair) == []
