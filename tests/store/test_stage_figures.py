"""Values of a stage's summary that are missing without the reason that they may have."""

import pytest

from kdrun.store.stage_figures import run_faults, stage_faults


def trained(**changes):
    """A stage that was trained, with validation images."""
    accuracy = {"train": 0.9, "last": 0.8, "best_validation": 0.85, "best_validation_loss": 0.5}
    stage = {"epochs": 4, "best_epoch": 3, "images_per_second": 100.0, "accuracy": accuracy}
    return changed(stage, changes)


def given(**changes):
    """Given weights, with validation images."""
    accuracy = {"train": None, "last": 0.8, "best_validation": 0.8, "best_validation_loss": 0.5}
    stage = {"epochs": 0, "best_epoch": 0, "images_per_second": None, "accuracy": accuracy}
    return changed(stage, changes)


def changed(stage, changes):
    inside = {k: v for k, v in changes.items() if k in stage["accuracy"]}
    outside = {k: v for k, v in changes.items() if k not in inside}
    return stage | outside | {"accuracy": stage["accuracy"] | inside}


NONE_HELD_OUT = {"last": None, "best_validation": None, "best_validation_loss": None}


@pytest.mark.parametrize(
    "stage",
    [
        trained(),
        trained(**NONE_HELD_OUT),
        given(),
        given(train=0.7, **NONE_HELD_OUT),
        trained(certainty={"calibration_T": None, "nll": 0.0, "calibrated_nll": 0.0}),
        trained(certainty={"calibration_T": 2.0, "nll": 0.5, "calibrated_nll": 0.4}),
    ],
)
def test_what_kdrun_writes_passes(stage):
    assert list(stage_faults(stage)) == []


def test_what_an_earlier_kdrun_did_not_write_is_no_fault():
    stage = trained()
    del stage["best_epoch"], stage["images_per_second"], stage["accuracy"]["best_validation_loss"]
    assert list(stage_faults(stage)) == []


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (trained(train=None), "accuracy.train is None with 4 epochs"),
        (given(train=0.5), "accuracy.train is 0.5 with 0 epochs"),
        (given(**NONE_HELD_OUT), "accuracy.train is None with 0 epochs"),
        (trained(last=None), "accuracy.last is None with accuracy.best_validation 0.85"),
        (trained(best_validation_loss=None), "accuracy.best_validation_loss is None with"),
        (trained(**NONE_HELD_OUT | {"last": 0.5}), "accuracy.last is 0.5 with"),
        (trained(images_per_second=None), "images_per_second is None with 4 epochs"),
        (given(images_per_second=9.0), "images_per_second is 9.0 with 0 epochs"),
        (trained(best_epoch=5), "best_epoch is 5 of 4 epochs"),
        (trained(best_epoch=0), "best_epoch is 0 of 4 epochs"),
        (
            trained(certainty={"calibration_T": None, "nll": 0.5, "calibrated_nll": 0.4}),
            "certainty.calibration_T is None",
        ),
    ],
)
def test_a_missing_value_without_its_reason_is_a_fault(stage, said):
    (fault,) = stage_faults(stage)
    assert fault.startswith(said)


def test_the_stages_of_a_run_have_validation_images_all_or_none():
    stages = [trained(), given(train=0.5, **NONE_HELD_OUT)]
    (fault,) = run_faults(stages)
    assert fault == "stage 0 has a validation accuracy and stage 1 has none"
    assert list(run_faults([trained(), given()])) == []
    assert list(run_faults([trained(), trained(train=None)])) == [
        "stage 1: accuracy.train is None with 4 epochs"
    ]
