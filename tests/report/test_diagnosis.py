"""Diagnoses, each from numbers that show one fault, and their silence where nothing is wrong."""

import math

import pytest

from kdrun.report.diagnosis import diagnosis
from kdrun.report.run_files import read_run_files
from kdrun.report.run_page import write_report
from tests.report.sealing import seal_again

RISES = [0.5, 0.7, 0.85, 0.9, 0.93, 0.94, 0.95, 0.955, 0.957, 0.957]
SURE = {
    "images": 1000,
    "entropy": {"1": 0.1, "2": 0.3, "4": 0.6, "8": 0.85, "16": 0.95, "32": 0.995},
    "calibration_T": 1.5,
    "nll": 0.2,
    "calibrated_nll": 0.18,
}


def stage(role, best, test=None, last=None, epochs=10, **more):
    accuracy = {"best_validation": best, "last": best if last is None else last}
    accuracy["test_at_best_validation"] = best if test is None else test
    shown = {"role": role, "arch": "net", "parameters": 100, "accuracy": accuracy}
    return (
        shown | {"epochs": epochs, "best_epoch": epochs, "class_names": list("abcdefghij")} | more
    )


def epochs(place, values=RISES, losses=None, share=0.7, T=4.0):
    losses = losses or [2.0 / (1 + n) for n in range(len(values))]
    return [
        {
            "stage": place,
            "loss": loss,
            "lr": 0.05,
            "T": T,
            "train_accuracy": value,
            "validation_accuracy": value,
            "terms": {
                "kl": {"raw": 0.1, "weight": 0.9, "gradient_share": share},
                "cross_entropy": {"raw": loss, "weight": 0.1, "gradient_share": 1 - share},
            },
        }
        for value, loss in zip(values, losses, strict=True)
    ]


def told(teacher=0.98, student=0.97, control=0.95, images=10_000, lines=None, gains=(), **more):
    given = {"certainty": SURE} | more
    stages = [stage("teacher", teacher, **given), stage("student", student)]
    stages.append(stage("control", control))
    metrics = [line for place in range(3) for line in epochs(place)] if lines is None else lines
    summary = {"seed": 0, "seeds": [], "test_images": images, "stages": stages}
    summary |= {"gains": list(gains)}
    return diagnosis(summary, metrics)


def test_a_run_that_went_well_is_told_nothing():
    assert told() == []


def test_a_teacher_no_better_than_the_control_is_told():
    (line,) = told(teacher=0.95)
    assert "teacher net is not clearly better than the control, 95.00% against 95.00%" in line
    assert "nothing to teach" not in line
    assert "chain.stage.0.train.epochs=20" in line
    (line,) = told(teacher=0.19, epochs=0)
    assert line.startswith("the given teacher net is no better")
    assert line.endswith(": teacher.weights=null")


@pytest.mark.parametrize(
    ("teacher", "control", "said"),
    [
        (1.0, 1.0, None),
        # One standard error of 1000 images at 95 % is 0.69 points.
        (0.944, 0.95, "not clearly better"),
        (0.942, 0.95, "no better than the control, 94.20% against 95.00% of the validation"),
        (0.951, 0.95, None),
    ],
)
def test_a_teacher_is_judged_by_what_its_images_can_tell(teacher, control, said):
    lines = [line for line in told(teacher=teacher, student=1.0, control=control) if line]
    assert bool(lines) == (said is not None)
    assert all(said in line for line in lines)


def several_seeds(ours, theirs, images):
    stages = [
        stage(role, 0.95, test, seed=seed)
        for role, tests in (("student", ours), ("control", theirs))
        for seed, test in enumerate(tests)
    ]
    return {"seed": 0, "seeds": [0, 1, 2], "test_images": images, "stages": stages}


def test_a_spread_over_seeds_asks_for_seeds_and_not_for_images():
    # Differences of 3, 1 and -1 points: a deviation of 2, where the images explain 0.3.
    content = several_seeds([0.98, 0.96, 0.94], [0.95, 0.95, 0.95], 10_000)
    (line,) = diagnosis(content, [])
    assert "3 seeds are too few to resolve a gain of +1.00 points" in line
    assert "varies by 2.00 points from seed to seed" in line
    assert f"about {math.ceil((1.96 * 2) ** 2)} seeds would resolve 1 point" in line
    assert "seeds=[" not in line  # more than one would type
    # Of 100 images it is their number that explains the same spread.
    (line,) = diagnosis(several_seeds([0.98, 0.96, 0.94], [0.95, 0.95, 0.95], 100), [])
    assert "100 test images are too few" in line


def test_a_nearly_uniform_teacher_is_told():
    uniform = SURE | {"entropy": {"1": 0.93, "32": 1.0}}
    (line,) = told(certainty=uniform)
    assert line == (
        "teacher net is nearly uniform (its entropy at T=1 is 93.0% of the maximum): "
        "chain.stage.0.train.epochs=20"
    )


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_stage_whose_loss_rose_is_told_with_a_lower_rate(place):
    values = [0.1] * 10
    losses = [2.3, 30.0, *[100.0] * 8]
    lines = [
        line for n in range(3) for line in (epochs(n, values, losses) if n == place else epochs(n))
    ]
    (line,) = told(lines=lines)
    name = ("teacher", "student", "control")[place]
    assert line.startswith(f"{name} net diverged: its label loss ended at 100")
    assert line.endswith(": chain.stage.0.train.lr=0.005" if place == 0 else ": train.lr=0.005")


def test_a_model_that_still_learns_at_its_last_epoch_is_told():
    rising = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9]
    (line,) = told(lines=[*epochs(0), *epochs(1, rising), *epochs(2)])
    assert line == (
        "student net was still learning at its last epoch (+10.0 points of validation accuracy "
        "in the last 2): train.epochs=20"
    )
    noisy = SURE | {"images": 20}  # of 20 images, 10 points are 2 images
    assert told(lines=[*epochs(0), *epochs(1, rising), *epochs(2)], certainty=noisy) == []


def test_a_last_epoch_far_below_the_best_is_told():
    falling = [0.5, 0.9, 0.95, 0.94, 0.9, 0.85, 0.8, 0.8, 0.8, 0.8]
    (line,) = told(lines=[*epochs(0), *epochs(1, falling), *epochs(2)])
    assert "student net fell from 95.00% validation accuracy" in line
    assert "to 80.00%" in line


@pytest.mark.parametrize(("student", "share", "said"), [(0.94, 0.97, True), (0.97, 0.97, False)])
def test_a_soft_term_that_is_nearly_all_of_the_gradient_is_told_where_nothing_was_gained(
    student, share, said
):
    lines = [*epochs(0), *epochs(1, share=share), *epochs(2)]
    found = told(student=student, lines=lines)
    assert any("97% of its gradient" in line and "loss.alpha=0.5" in line for line in found) == said


def test_a_temperature_that_leaves_nothing_is_told_where_nothing_was_gained():
    lines = [*epochs(0), *epochs(1, T=200.0), *epochs(2)]
    (line,) = told(student=0.9, lines=lines)
    assert "at T=200 its teacher is uniform" in line
    assert line.endswith("loss.T=8")
    assert told(lines=lines) == []


def test_an_infinite_temperature_leaves_nothing_of_the_teacher():
    lines = [*epochs(0), *epochs(1, T="inf"), *epochs(2)]
    (line,) = told(student=0.9, lines=lines)
    assert "at T=inf its teacher is uniform (100.0% of the maximum" in line
    assert line.endswith(": loss.T=8")


def test_a_temperature_that_falls_below_what_leaves_nothing_is_not_told():
    falling = [200.0, 4.0]
    student = [line | {"T": T} for line, T in zip(epochs(1), falling, strict=False)]
    assert told(student=0.9, lines=[*epochs(0), *student, *epochs(2)]) == []
    high = [line | {"T": T} for line, T in zip(epochs(1), (200.0, 150.0), strict=False)]
    (line,) = told(student=0.9, lines=[*epochs(0), *high, *epochs(2)])
    assert "at T=150 " in line
    assert line.endswith(": temperature=constant loss.T=8")


def hidden(place, name, share, weight):
    """The epochs of a stage with a term on hidden states."""
    term = {"raw": 1.0, "weight": weight, "gradient_share": share}
    return [line | {"terms": {**line["terms"], name: term}} for line in epochs(place, share=0.1)]


@pytest.mark.parametrize(
    ("name", "advised"),
    [
        ("hint", "loss.hint.weight=10"),
        ("attention", "loss.attention.weight=10"),
        ("distance", "loss.rkd.distance=10"),
        ("rkd_angle", "loss.rkd.angle=10"),
    ],
)
def test_a_dominant_term_on_hidden_states_is_told_where_the_student_lost(name, advised):
    lines = [*epochs(0), *hidden(1, name, 0.8, 100.0), *epochs(2)]
    gain = {"model": "student net", "over": "control net", "split": "test", "points": -5.0}
    gain |= {"low": -6.0, "high": -4.0, "p": 1e-9, "test": "mcnemar", "seeds": 1}
    gain |= {"only_ours": 10, "only_theirs": 510}
    (line,) = told(student=0.9, lines=lines, gains=[gain])
    assert "is clearly worse than without its teacher, and 80% of its gradient came from" in line
    assert line.endswith(f": {advised}")
    unclear = gain | {"high": 1.0, "points": -0.1, "p": 0.5}
    assert not any(advised in line for line in told(student=0.9, lines=lines, gains=[unclear]))
    small = [*epochs(0), *hidden(1, name, 0.2, 100.0), *epochs(2)]
    assert told(student=0.9, lines=small, gains=[gain]) == []


def born_again(last, first=0.95, T=4.0):
    """A run of three generations, and its metrics."""
    tests = (first, 0.96, last)
    stages = [stage("generation", test, step=n, certainty=SURE) for n, test in enumerate(tests)]
    stages.append(stage("control", 0.2, step=2, epochs=20))
    metrics = [line for place in range(3) for line in epochs(place, T=T)]
    summary = {"seed": 0, "seeds": [], "test_images": 10_000, "chain": [], "gains": []}
    return summary | {"stages": stages}, metrics


def test_generations_are_compared_with_the_first():
    (line,) = diagnosis(*born_again(last=0.9, T="inf"))
    assert line.startswith("generation 2 net gained nothing over generation 0, and at T=inf")
    assert line.endswith(": chain.stage.2.loss.T=8")
    assert diagnosis(*born_again(last=0.97, T="inf")) == []


def test_all_right_on_a_few_images_may_be_luck():
    rising = [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.9, 0.95, 0.95, 1.0]
    lines = [*epochs(0), *epochs(1, rising), *epochs(2)]
    assert told(lines=lines, certainty=SURE | {"images": 20}) == []
    (line,) = told(lines=lines)
    assert "was still learning" in line


def test_numbers_of_one_seed_are_not_told_as_the_models():
    rising = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9]
    content = several_seeds([0.98, 0.97, 0.97], [0.95, 0.94, 0.94], 10_000)
    content["stages"][0]["certainty"] = SURE
    lines = [*epochs(0), *epochs(1, rising), *epochs(2, rising)]
    (line,) = diagnosis(content, lines)
    assert line.startswith("student net (in 2 of 3 seeds, shown for seed 1) was still learning")


def test_pilots_that_are_equal_within_an_error_are_told():
    summary = {"seed": 0, "test_images": 10_000, "stages": [stage("student", 0.9, certainty=SURE)]}
    values = {1.0: 0.9, 2.0: 0.95, 4.0: 0.949, 8.0: 0.8}
    pilots = [{"T": T, "validation": value} for T, value in values.items()]
    choice = {"stage": 1, "method": "search", "T": 2.0, "pilots": pilots}
    (line,) = diagnosis(summary, [], [choice])
    assert line.startswith(
        "the pilot of T=2 (95.00% validation accuracy) is within one standard error of T=4 (94.90%)"
    )
    assert line.endswith(": temperature.pilot_share=0.5")
    values[4.0] = 0.93
    apart = [{"T": T, "validation": value} for T, value in values.items()]
    assert diagnosis(summary, [], [choice | {"pilots": apart}]) == []


@pytest.mark.parametrize(
    ("weight", "rest", "advised"),
    [
        (0.9, 0.1, "loss.alpha=0.5"),
        (0.5, 0.5, "loss.alpha=0.05"),
        (1.0, None, "loss.alpha=0.5"),
        (9.0, 0.1, "loss.weights.soft=0.9"),
    ],
)
def test_the_weight_that_is_advised_is_the_one_that_counts(weight, rest, advised):
    terms = {"soft": {"raw": 0.1, "weight": weight, "gradient_share": 0.97}}
    if rest is not None:
        terms["hard"] = {"raw": 0.1, "weight": rest, "gradient_share": 0.03}
    lines = [*epochs(0), *(line | {"terms": terms} for line in epochs(1)), *epochs(2)]
    (line,) = told(student=0.94, lines=lines)
    assert line.endswith(f": {advised}")


def test_too_few_test_images_are_told_with_how_many_would_do():
    # Of 500 images 23 are decided otherwise by the two: 1.96^2 (0.046 - 0.006^2) / 0.01^2 images.
    gain = {"model": "student net", "over": "control net", "split": "test", "points": 0.6}
    gain |= {"low": -1.4, "high": 2.6, "p": 0.68, "test": "mcnemar", "seeds": 1}
    gain |= {"only_ours": 13, "only_theirs": 10}
    (line,) = told(student=0.956, control=0.95, images=500, gains=[gain])
    assert "500 test images are too few to resolve a gain of +0.60 points" in line
    needed = 1.96**2 * (23 / 500 - 0.006**2) / 1e-4
    assert needed == pytest.approx(1766, abs=1)
    assert "about 2 000 test images" in line
    assert f"or {math.ceil(needed / 500)} seeds" in line
    assert line.endswith("seeds=[0,1,2,3]")


def test_the_diagnosis_stands_on_the_page(altered):
    def worsen(content):
        content["stages"][0]["accuracy"]["best_validation"] = 0.0

    folder = altered(summary=worsen)
    seal_again(folder)
    page = write_report(folder).read_text()
    assert 'id="diagnosis"' in page
    assert "is no better than the control" in page
    files = read_run_files(folder)
    assert page.count("<li>Teacher convnet is no better") == 1
    assert len(diagnosis(files.summary, files.metrics)) == page.split('id="diagnosis"')[1].split(
        "</section>"
    )[0].count("<li>")
