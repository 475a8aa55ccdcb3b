"""Verdicts: paired comparisons in words, and the keeping of a chain."""

import math
import re

import pytest

from kdrun.report.findings import verdict


def stage(role, test, seed=None, step=None, parameters=100, arch="net"):
    accuracy = {"test_at_best_validation": test}
    entry = {"role": role, "arch": arch, "parameters": parameters, "accuracy": accuracy}
    return (
        entry | ({} if seed is None else {"seed": seed}) | ({} if step is None else {"step": step})
    )


def summary(*stages, seeds=(), images=10_000):
    return {"seed": 0, "seeds": list(seeds), "test_images": images, "stages": list(stages)}


def over(role, tests):
    return [stage(role, test, seed) for seed, test in enumerate(tests)]


@pytest.mark.parametrize(
    ("direct", "kept"),
    [
        # Gains 0.03, 0.01, 0.02: mean 0.02, error 0.0058.
        ([0.87, 0.90, 0.92], True),
        # Gains 0.03, -0.03, 0.01: mean 0.0033, error 0.0176.
        ([0.87, 0.94, 0.93], False),
        ([0.91, 0.92, 0.95], False),
    ],
)
def test_a_chain_is_kept_only_if_it_gains_more_than_one_standard_error(direct, kept):
    told = summary(*over("student", [0.90, 0.91, 0.94]), *over("direct", direct), seeds=(0, 1, 2))
    (line,) = verdict(told)
    assert ("keep the chain" in line) is kept
    assert ("teach the last model directly" in line) is not kept
    assert "3 seeds" in line


@pytest.mark.parametrize(
    ("control", "told"),
    [
        ([0.87, 0.90, 0.92], "control.*: more than one standard error"),
        ([0.87, 0.94, 0.93], "control.*: within one standard error"),
        ([0.93, 0.93, 0.95], "control.*: a loss of more than one standard error"),
    ],
)
def test_a_gain_is_told_beside_its_error_and_a_loss_as_a_loss(control, told):
    stages = [*over("student", [0.90, 0.91, 0.94]), *over("control", control)]
    (line,) = verdict(summary(*stages, seeds=(0, 1, 2)))
    assert re.search(told, line)


def test_one_seed_is_judged_by_the_sample_of_test_images():
    student, control = 0.95, 0.93
    (line,) = verdict(summary(stage("student", student), stage("control", control), images=449))
    error = math.sqrt((0.95 * 0.05 + 0.93 * 0.07) / 449)
    assert f"+2.00 ± {100 * error:.2f} points" in line
    assert "one seed" in line


def test_seeds_are_paired_not_pooled():
    students, controls = [0.80, 0.90], [0.79, 0.89]
    (line,) = verdict(summary(*over("student", students), *over("control", controls), seeds=(0, 1)))
    assert "+1.00 ± 0.00 points" in line


def test_the_last_generation_is_judged_against_the_control():
    stages = [stage("generation", test, step=step) for step, test in enumerate([0.5, 0.7, 0.6])]
    (line,) = verdict(summary(*stages, stage("control", 0.55, step=2)))
    assert "+5.00" in line


def test_a_student_is_told_by_size_and_share_of_the_accuracy():
    (line,) = verdict(summary(stage("teacher", 0.8, parameters=150), stage("student", 0.6)))
    assert "1.5x smaller and keeps 75.0% of the accuracy; below 2x" in line
    (line,) = verdict(summary(stage("teacher", 0.8, parameters=50), stage("student", 0.6)))
    assert "2x larger and keeps" in line


def test_an_architecture_that_teaches_itself_is_not_called_too_large():
    (line,) = verdict(summary(stage("teacher", 0.8), stage("student", 0.6)))
    assert (
        line
        == "the student is the teacher's architecture over again and keeps 75.0% of the accuracy"
    )


def test_several_teachers_count_together_and_the_best_of_them_is_kept():
    teachers = [stage("teacher", 0.8, parameters=150), stage("teacher", 0.6, parameters=90)]
    (line,) = verdict(summary(*teachers, stage("student", 0.6)))
    assert "2.4x smaller than its 2 teachers together and keeps 75.0% of the best one's" in line
