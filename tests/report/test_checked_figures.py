"""Contradictions within a run's files, whose checksums are right."""

import numpy as np
import pytest

from kdrun.errors import DamagedError
from kdrun.report.checked_figures import check_figures
from kdrun.report.gains import run_gains
from kdrun.report.run_files import read_run_files
from kdrun.store.correct_images import Correct, write_correct
from kdrun.store.files import read_sealed
from tests.report.sealing import seal_again
from tests.report.test_findings import over, stage, summary


def right(count, images=200):
    bits = np.packbits(np.arange(images) < count).tobytes()
    return Correct(images, "the same", bits)


def one_seed(folder, ours=190, theirs=180):
    """A run of one seed: its summary; its right images are written."""
    stages = [stage("student", ours / 200), stage("control", theirs / 200)]
    correct = {0: {"test": right(ours)}, 1: {"test": right(theirs)}}
    write_correct(folder, correct)
    content = summary(*stages, images=200)
    return content | {"gains": run_gains(content, correct)}


def seeds():
    content = summary(*over("student", [0.9, 0.8]), *over("control", [0.8, 0.75]), seeds=(0, 1))
    return content | {"gains": run_gains(content, {})}


def test_what_agrees_passes(tmp_path):
    check_figures(tmp_path, seeds())
    check_figures(tmp_path, seeds() | {"gains": []})
    check_figures(tmp_path, one_seed(tmp_path))


CHANGES = [{"points": 20.0}, {"low": 1.0}, {"high": 9.0}, {"p": 0.001}]


@pytest.mark.parametrize("change", [*CHANGES, {"seeds": 5}, {"low": None}])
def test_a_gain_over_seeds_has_to_follow_from_the_accuracies(tmp_path, change):
    content = seeds()
    content["gains"][0] |= change
    (name,) = change
    with pytest.raises(DamagedError, match=rf"summary\.json is damaged: the gain.*has {name} "):
        check_figures(tmp_path, content)


@pytest.mark.parametrize("change", [*CHANGES, {"only_ours": 50}, {"only_theirs": 3}, {"seeds": 2}])
def test_a_gain_of_one_seed_has_to_follow_from_its_images(tmp_path, change):
    content = one_seed(tmp_path)
    content["gains"][0] |= change
    with pytest.raises(DamagedError, match=r"summary\.json is damaged: the gain"):
        check_figures(tmp_path, content)
    (tmp_path / "correct.json").unlink()  # and from its own counts
    with pytest.raises(DamagedError, match=r"summary\.json is damaged: the gain"):
        check_figures(tmp_path, content)


def test_accuracies_have_to_be_those_of_the_right_images(tmp_path):
    content = one_seed(tmp_path)
    content["stages"][0]["accuracy"]["test_at_best_validation"] = 0.99
    with pytest.raises(DamagedError, match=r"correct\.json .* 190 of 200 test .* says 99\.00%"):
        check_figures(tmp_path, content)
    # An image that another device decides otherwise is no damage.
    content["stages"][0]["accuracy"]["test_at_best_validation"] = 0.955
    check_figures(tmp_path, content)
    with pytest.raises(DamagedError, match="covers 200 test images, the run has 500"):
        check_figures(tmp_path, content | {"test_images": 500})
    with pytest.raises(DamagedError, match="stage 1, the run has 1"):
        check_figures(tmp_path, content | {"stages": content["stages"][:1]})


def test_models_that_are_paired_have_to_answer_the_same_images(tmp_path):
    content = one_seed(tmp_path)
    other = Correct(200, "others", right(180).right)
    write_correct(tmp_path, {0: {"test": right(190)}, 1: {"test": other}})
    with pytest.raises(DamagedError, match="stages 0 and 1 differ in their test images"):
        check_figures(tmp_path, content)


def test_a_missing_train_accuracy_of_a_trained_stage_is_refused(tmp_path):
    content = seeds()
    content["stages"][1]["accuracy"]["train"] = None
    with pytest.raises(DamagedError, match=r"stage 1: accuracy\.train is None with 10 epochs"):
        check_figures(tmp_path, content)


def test_a_resealed_summary_is_refused_by_the_report(altered):
    def better(content):
        content["gains"][0]["points"] += 10

    folder = altered(summary=better)
    seal_again(folder)
    assert read_sealed(folder / "summary.json")["gains"]
    with pytest.raises(DamagedError, match=r"summary\.json is damaged: the gain of student"):
        read_run_files(folder)
