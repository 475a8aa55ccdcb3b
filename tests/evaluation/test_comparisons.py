"""Which models are compared, and what differs between two."""

from dataclasses import replace

import pytest
import torch

from kdrun.errors import DataError
from kdrun.evaluation.chain_costs import step_costs
from kdrun.evaluation.comparisons import comparisons, confusion_differences, split_pair
from kdrun.evaluation.disagreements import differing
from kdrun.evaluation.predictions import Predictions
from kdrun.evaluation.run_predictions import averaged
from kdrun.plan.build import build_plan


def kinds(stages):
    return [(one.student, *one.others, one.kind) for one in comparisons(stages)]


def test_a_student_is_held_against_its_teacher_and_its_control(make_config):
    assert kinds(build_plan(make_config())) == [(1, 0, "teacher"), (1, 2, "control")]


def test_every_teacher_of_an_ensemble_counts_and_so_do_all_together(make_config):
    found = kinds(build_plan(make_config("teacher.ensemble=[resnet8]")))
    assert found == [
        (2, 0, "teacher"),
        (2, 1, "teacher"),
        (2, 0, 1, "ensemble"),
        (2, 3, "control"),
    ]


def test_a_chain_begins_with_its_ensemble(make_config):
    chain = ("chain=assistants", "chain.assistants=[resnet8]", "chain.control=false")
    found = kinds(build_plan(make_config("teacher.ensemble=[resnet8]", *chain)))
    assert found[-2:] == [(3, 2, "teacher"), (3, 0, 1, "origin")]


def test_a_chain_is_followed_to_its_head_and_seeds_are_kept_apart(make_config):
    teacher, student, control = build_plan(make_config())
    assistant = replace(student, role="assistant", model=teacher.model)
    last = replace(student, teachers=(1,))
    direct = replace(student, role="direct")
    other = replace(control, seed=7)
    found = kinds([teacher, assistant, last, direct, control, other])
    assert found == [
        (1, 0, "teacher"),
        (2, 1, "teacher"),
        (2, 0, "origin"),
        (2, 3, "direct"),
        (2, 4, "control"),
        (3, 0, "teacher"),
    ]


def answers(decisions, labels):
    logits = torch.nn.functional.one_hot(torch.tensor(decisions), 3).float()
    places = torch.arange(len(labels))
    return Predictions(logits, torch.tensor(labels), places, len(labels), 0)


def test_confusions_are_counted_by_label_and_decision():
    labels = [0, 0, 0, 1, 2]
    found = confusion_differences(
        answers([1, 1, 0, 1, 0], labels), answers([0, 2, 0, 1, 0], labels)
    )
    assert found == [
        {"label": 0, "decision": 1, "student": 2, "other": 0},
        {"label": 0, "decision": 2, "student": 0, "other": 1},
    ]


def test_confusions_of_more_classes_than_memory_for_a_table_are_counted():
    # 40 K^2 bytes would be 400 GB.
    classes, labels = 100_000, torch.tensor([0, 0, 99_999])

    def decided(*decisions):
        logits = torch.zeros(3, classes)
        logits[range(3), decisions] = 1.0
        return Predictions(logits, labels, torch.arange(3), 3, 0)

    assert confusion_differences(decided(5, 5, 99_998), decided(0, 5, 4)) == [
        {"label": 0, "decision": 5, "student": 2, "other": 1},
        {"label": 99_999, "decision": 4, "student": 0, "other": 1},
        {"label": 99_999, "decision": 99_998, "student": 1, "other": 0},
    ]


def test_generations_of_several_seeds_are_held_against_rivals_of_their_own_seed(make_config):
    config = make_config("chain=born_again", "chain.generations=3", "seeds=[0,1,2]")
    stages = build_plan(config)
    found = comparisons(stages)
    assert {one.kind for one in found} == {"teacher", "origin", "direct", "control"}
    for one in found:
        assert {stages[other].seed for other in one.others} == {stages[one.student].seed}
    rivals = [one for one in found if one.kind in ("direct", "control")]
    # Two taught generations and three seeds, each with one direct model and one control.
    assert len(rivals) == 2 * 3 * 2


def seen(source, labels=(0, 1, 2)):
    return replace(answers([0, 1, 2], list(labels)), source=source)


@pytest.mark.parametrize("other", [seen("b"), seen("a", (0, 2, 1))])
@pytest.mark.parametrize(
    "meet",
    [
        split_pair,
        differing,
        lambda ours, theirs: step_costs([ours, theirs]),
        lambda ours, theirs: averaged([ours, theirs], None),
    ],
)
def test_predictions_about_unequal_images_are_never_compared(meet, other):
    meet(seen("a"), seen("a"))
    with pytest.raises(DataError, match="only models of the same seed and split"):
        meet(seen("a"), other)
