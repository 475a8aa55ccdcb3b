import pytest
import torch

from kdrun.analysis.certainty import certainty
from kdrun.errors import WeightsError
from kdrun.teachers.acceptance import certainty_warnings, check_accuracy, check_class_order


@pytest.mark.parametrize(
    ("given", "told", "not_told"),
    [(True, "another normalisation", "longer"), (False, "Train it longer", "another")],
)
def test_a_weak_teacher_is_refused_with_what_can_be_done_about_it(given, told, not_told):
    check_accuracy("resnet8", 0.5, 0.5, "validation", given)
    with pytest.raises(WeightsError, match=r"49\.00% training accuracy, below 50\.00%") as caught:
        check_accuracy("resnet8", 0.49, 0.5, "training", given)
    assert told in str(caught.value)
    assert not_told not in str(caught.value)


def test_weights_of_another_class_order_are_refused_with_its_first_entries():
    order = {"outputs": [[0, 2], [1, 0]], "moved": 3, "accuracy": 0.19, "relabelled": 0.975}
    with pytest.raises(WeightsError) as caught:
        check_class_order("resnet8", order, ("ape", "bee", "cat"))
    told = str(caught.value)
    assert "19.00%" in told
    assert "97.50%" in told
    assert "(output 2 is class 0 'ape', output 0 is class 1 'bee', ...)" in told
    check_class_order("resnet8", None, ("ape", "bee", "cat"))


@pytest.mark.parametrize(
    ("scale", "told"),
    [(0.02, "nearly uniform"), (0.3, "underconfident"), (1.0, None), (30.0, "overconfident")],
)
def test_a_teacher_is_doubted_by_how_far_its_calibration_is_from_one(scale, told):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2000, 10, generator=generator)
    labels = torch.distributions.Categorical(logits=logits).sample()  # calibrated as they stand
    lines = certainty_warnings("teacher mlp", certainty(scale * logits, labels), given=False)
    assert len(lines) == (told is not None)
    assert all(told in line for line in lines)
    assert all(line.startswith("teacher mlp is ") and "train.epochs" in line for line in lines)


def test_doubts_of_given_weights_name_their_normalisation():
    measures = certainty(torch.zeros(20, 10), torch.arange(20) % 10)
    (line,) = certainty_warnings("teacher vgg11", measures, given=True)
    assert "teacher.normalization" in line
    assert certainty_warnings("teacher vgg11", None, given=True) == []
