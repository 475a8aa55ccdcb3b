import pytest

from kdrun.analysis.divergence import divergence


def lines(losses, accuracies=None, T=4.0, hard=True):
    name = "cross_entropy" if hard else "kl"
    accuracies = accuracies or [0.1] * len(losses)
    return [
        {
            "loss": loss,
            "terms": {name: {"raw": loss, "weight": 1.0}},
            "T": T,
            "train_accuracy": accuracy,
        }
        for loss, accuracy in zip(losses, accuracies, strict=True)
    ]


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([2.3, 1.5, 0.4], None),
        ([2.4, 2.9, 2.6, 2.2], None),  # noise near guessing, of few images
        ([254.0, 23528.0], "diverged: its label loss ended at 2.353e.04"),
        ([254.0], "diverged"),
        ([1.1, 0.9, 6.0], "diverged: its label loss ended at 6"),
        ([40.0, 2.0, 0.3], "nearly diverged: its label loss rose to 40 in epoch 1"),
        ([], None),
    ],
)
def test_a_cross_entropy_far_above_guessing_is_told(losses, told):
    found = divergence(lines(losses), 10)
    assert (found is None) == (told is None)
    if told:
        assert told.replace("e.", "e+") in found
        assert "2.3" in found  # log 10


def test_without_labels_the_loss_is_compared_with_the_first_epochs():
    assert divergence(lines([0.5, 0.4, 6.0], hard=False), 10).startswith("diverged")
    assert divergence(lines([0.5, 6.0, 0.4], hard=False), 10).startswith("nearly diverged")
    assert divergence(lines([0.5, 0.9, 0.7], hard=False), 10) is None


def test_a_loss_that_rises_with_the_temperature_or_beside_the_accuracy_is_no_divergence():
    warm, hot = lines([0.5], T=1.0, hard=False), lines([50.0], T=20.0, hard=False)
    assert divergence(warm + hot, 10) is None
    assert divergence(lines([0.5, 9.0], [0.2, 0.8], hard=False), 10) is None


def test_a_model_that_is_far_too_sure_but_right_has_not_diverged():
    assert divergence(lines([2.0, 6.0], [0.5, 0.97]), 10) is None
    assert "nearly diverged" in divergence(lines([40.0, 6.0], [0.1, 0.97]), 10)
