"""Verdicts: paired comparisons in words, and the keeping of a chain."""

import pytest
from scipy import stats

from kdrun.errors import DamagedError
from kdrun.report.findings import verdict
from kdrun.report.gains import compared_places, run_gains
from kdrun.store.correct_images import Correct


def stage(role, test, seed=None, step=None, parameters=100, arch="net", validation=None):
    accuracy = {"test_at_best_validation": test, "best_validation": validation}
    accuracy |= {"train": test, "last": validation}
    entry = {"role": role, "arch": arch, "parameters": parameters, "accuracy": accuracy}
    entry["epochs"] = 10
    return (
        entry | ({} if seed is None else {"seed": seed}) | ({} if step is None else {"step": step})
    )


def summary(*stages, seeds=(), images=10_000):
    return {"seed": 0, "seeds": list(seeds), "test_images": images, "stages": list(stages)}


def over(role, tests, validation=None):
    validation = validation or [None] * len(tests)
    return [
        stage(role, test, seed, validation=held)
        for seed, (test, held) in enumerate(zip(tests, validation, strict=True))
    ]


@pytest.mark.parametrize(
    ("direct", "told"),
    [
        # Validation gains of 3, 2 and 2.5 points: 95 % interval [1.26, 3.74].
        ([0.87, 0.89, 0.915], "a gain, so keep the chain"),
        # 3, 1, 2: [-0.48, 4.48].
        (
            [0.87, 0.90, 0.92],
            "cannot be told from zero, so teach the last model directly",
        ),
        ([0.93, 0.945, 0.97], "a loss, so teach the last model directly"),
    ],
)
def test_a_chain_is_kept_only_if_its_interval_on_validation_lies_above_zero(direct, told):
    validation = [0.90, 0.91, 0.94]
    # The test accuracies say the opposite, and decide nothing.
    ours = over("student", [0.5, 0.5, 0.6], validation)
    theirs = over("direct", [0.9, 0.8, 0.9], direct)
    (line,) = verdict(summary(*ours, *theirs, seeds=(0, 1, 2)))
    low, high = stats.ttest_rel(validation, direct).confidence_interval(0.95)
    ends = f"[{100 * low:+.2f}, {100 * high:+.2f}]".replace("-", "−")
    assert f"over direct distillation at equal total epochs {ends} (95 %, 3 seeds, " in line
    assert "points of validation accuracy" in line
    assert f": {told}; on test −33.33 [" in line


def test_without_validation_images_nothing_is_decided_of_a_chain():
    stages = [*over("student", [0.9, 0.9, 0.95]), *over("direct", [0.5, 0.6, 0.55])]
    (line,) = verdict(summary(*stages, seeds=(0, 1, 2)))
    assert "no validation images" in line
    assert "keep the chain" not in line
    assert "teach the last" not in line


@pytest.mark.parametrize(
    ("control", "told"),
    [
        ([0.87, 0.89, 0.915], "a gain"),
        ([0.87, 0.90, 0.92], "cannot be told from zero"),
        ([0.93, 0.945, 0.97], "a loss"),
    ],
)
def test_distillation_is_judged_by_the_interval_over_its_seeds(control, told):
    tests = [0.90, 0.91, 0.94]
    stages = [*over("student", tests), *over("control", control)]
    (line,) = verdict(summary(*stages, seeds=(0, 1, 2)))
    expected = stats.ttest_rel(tests, control)
    ends = [100 * end for end in expected.confidence_interval(0.95)]
    points = 100 * (sum(tests) - sum(control)) / 3
    told_ends = f"[{ends[0]:+.2f}, {ends[1]:+.2f}] (95 %, 3 seeds, paired t, p = "
    told_ends = told_ends.replace("-", "−") + f"{expected.pvalue:.2g}): {told}"
    points = f"{points:+.2f}".replace("-", "−")
    assert line == f"distillation: {points} points of test accuracy over the control {told_ends}"


def right(*bits):
    return Correct(len(bits), "", bytes([int("".join(map(str, bits)).ljust(8, "0"), 2)]))


def one_seed(*stages, correct):
    content = summary(*stages)
    return content | {"gains": run_gains(content, correct)}


def test_one_seed_is_told_by_its_images_and_says_nothing_of_the_method():
    stages = [stage("student", 0.5, validation=0.5), stage("control", 0.5, validation=0.5)]
    correct = {0: {"test": right(1, 1, 1, 0, 0, 1)}, 1: {"test": right(0, 0, 1, 0, 1, 0)}}
    content = one_seed(*stages, correct=correct)
    assert compared_places(content) == [0, 1]
    (line,) = verdict(content)
    assert line == (
        "distillation: +33.33 points of test accuracy over the control: 3 test images only the "
        "student gets right, 1 only the control, p = 0.62; one seed says nothing about the method: "
        "seeds=[0,1,2,3,4]"
    )
    gain = content["gains"][0]
    names = ("model", "over", "split", "test", "seeds", "only_ours", "only_theirs")
    assert [gain[name] for name in names] == [
        *("student net", "control net", "test", "mcnemar", 1, 3, 1),
    ]
    # Of the validation images it is not known which were right.
    assert [gain["test"] for gain in content["gains"]] == ["mcnemar", None]


def test_one_seed_neither_keeps_a_chain_nor_calls_it_a_gain():
    stages = [stage("student", 0.9, validation=0.9), stage("direct", 0.1, validation=0.1)]
    held = {"test": right(1, 1, 1, 1, 1, 1, 1, 1), "validation": right(1, 1, 1, 1, 1, 1, 1, 1)}
    none = {name: right(0, 0, 0, 0, 0, 0, 0, 0) for name in held}
    (line,) = verdict(one_seed(*stages, correct={0: held, 1: none}))
    assert "8 validation images only the student gets right, 0 only the model taught" in line
    assert "; on test +100.00 points, 8 images to 0, p = 0.0078; one seed says" in line
    assert "keep" not in line
    assert "gain" not in line


def test_predictions_about_other_images_are_not_compared():
    ours, theirs = right(1, 0), Correct(2, "others", b"\0")
    stages = [stage("student", 0.5), stage("control", 0.0)]
    content = one_seed(*stages, correct={0: {"test": ours}, 1: {"test": theirs}})
    assert [gain["p"] for gain in content["gains"]] == [None]


def test_a_run_of_an_older_version_says_what_it_does_not_hold():
    (line,) = verdict(summary(stage("student", 0.95), stage("control", 0.93)))
    assert "+2.00 points" in line
    assert "the run has no record of the images each model gets right" in line


def test_seeds_are_paired_not_pooled_nor_by_order():
    students, controls = over("student", [0.80, 0.90, 0.85]), over("control", [0.79, 0.89, 0.83])
    lines = [
        verdict(summary(*students, *theirs, seeds=(0, 1, 2)))
        for theirs in (controls, controls[::-1])
    ]
    assert lines[0] == lines[1]
    assert "+1.33 points of test accuracy over the control [−0.10, +2.77]" in lines[0][0]


def test_the_last_generation_is_judged_against_the_control():
    stages = [stage("generation", test, step=step) for step, test in enumerate([0.5, 0.7, 0.6])]
    content = summary(*stages, stage("control", 0.55, step=2))
    (line,) = verdict(content)
    assert "+5.00" in line
    pairs = [(gain["model"], gain["over"]) for gain in run_gains(content, {})]
    assert pairs == [
        ("generation 2 net", "control net"),
        ("generation 1 net", "generation 0 net"),
        ("generation 2 net", "generation 1 net"),
    ]


def test_a_student_is_told_by_size_and_share_of_the_accuracy():
    (line,) = verdict(summary(stage("teacher", 0.8, parameters=150), stage("student", 0.6)))
    assert "1.5x smaller and keeps 75.0% of the accuracy; below 2x" in line
    (line,) = verdict(summary(stage("teacher", 0.8, parameters=50), stage("student", 0.6)))
    assert "2x larger and keeps" in line


@pytest.mark.parametrize(
    ("student", "told"),
    [
        (0.9001, "reaches the accuracy of the teacher on test (90.01% against 90.00%)"),
        (0.9, "reaches the accuracy of the teacher"),
        (0.8999, "keeps 99.9% of the accuracy"),
    ],
)
def test_more_than_the_teachers_accuracy_is_never_kept(student, told):
    (line,) = verdict(summary(stage("teacher", 0.9, parameters=900), stage("student", student)))
    assert told in line


def test_an_architecture_that_teaches_itself_is_not_called_too_large():
    (line,) = verdict(summary(stage("teacher", 0.8), stage("student", 0.6)))
    assert line == "the student has the teacher's architecture and keeps 75.0% of the accuracy"


def test_several_teachers_count_together_and_the_best_of_them_is_kept():
    teachers = [stage("teacher", 0.8, parameters=150), stage("teacher", 0.6, parameters=90)]
    (line,) = verdict(summary(*teachers, stage("student", 0.6)))
    assert "2.4x smaller than its 2 teachers together and keeps 75.0% of the best one's" in line


@pytest.mark.parametrize(
    "change",
    [{"points": "many"}, {"low": float("nan")}, {"test": "magic"}, {"seeds": None}, {"p": [1]}],
)
def test_recorded_gains_of_another_shape_are_refused(change):
    content = summary(*over("student", [0.9, 0.8]), *over("control", [0.8, 0.75]), seeds=(0, 1))
    gains = run_gains(content, {})
    with pytest.raises(DamagedError, match="gains were not written by this version of kdrun"):
        verdict(content | {"gains": [gains[0] | change]})
