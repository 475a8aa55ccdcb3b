import pytest

from kdrun.errors import WeightsError
from kdrun.teachers.acceptance import check_accuracy


@pytest.mark.parametrize(
    ("given", "told", "not_told"),
    [(True, "another normalisation", "longer"), (False, "Train it longer", "another")],
)
def test_a_weak_teacher_is_refused_with_what_can_be_done_about_it(given, told, not_told):
    check_accuracy("resnet8", 0.5, 0.5, "validation", given)
    with pytest.raises(
        WeightsError, match=r"49\.00% of the training images, below 50\.00%"
    ) as caught:
        check_accuracy("resnet8", 0.49, 0.5, "training", given)
    assert told in str(caught.value)
    assert not_told not in str(caught.value)
