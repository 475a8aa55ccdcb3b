"""A teacher's measures in the summary of its stage, by way of whole runs."""

import pytest
from safetensors.torch import load_file, save_file

from kdrun.errors import WeightsError
from kdrun.runs.runner import run
from kdrun.training.teacher_measures import LOGITS, most_images

QUICK = (
    *("teacher=convnet", "teacher.width=8", "student=mlp", "student.width=16", "train.threads=1"),
    *("train.precision=fp32", "train.device=cpu", "analysis=off", "chain.control=false"),
)


@pytest.fixture
def do(make_config, tmp_path):
    def do(*overrides):
        config = make_config(*QUICK, f"output_root={tmp_path / 'outputs'}", *overrides)
        return run(config, None, overrides)

    return do


def teachers_weights(root):
    (file,) = root.glob("outputs/digits/*/*/stages/00-*/best.safetensors")
    return load_file(file)


def reordered(weights, order):
    heads = [name for name in weights if weights[name].shape[:1] == (10,)]
    assert heads
    return weights | {name: weights[name][order].contiguous() for name in heads}


def test_a_given_teacher_of_another_class_order_is_refused(do, tmp_path):
    summary = do("train.epochs=4")
    assert "class_order" not in summary["stages"][0]
    weights = teachers_weights(tmp_path)
    cases = {
        "sorted as text": [0, 9, 1, 2, 3, 4, 5, 6, 7, 8],
        "two": [0, 1, 2, 4, 3, 5, 6, 7, 8, 9],
    }
    for name, order in cases.items():
        file = tmp_path / f"{name}.safetensors"
        save_file(reordered(weights, order), file)
        with pytest.raises(WeightsError, match="classes in another order"):
            do(f"teacher.weights={file}", "train.epochs=1", "teacher.min_accuracy=0")
    file = tmp_path / "right.safetensors"
    save_file(weights, file)
    given = do(f"teacher.weights={file}", "train.epochs=1")["stages"][0]
    assert "class_order" not in given
    assert given["certainty"] == summary["stages"][0]["certainty"]


def test_a_teacher_of_few_updates_is_told_to_be_nearly_uniform(do, capsys):
    overrides = ("train.epochs=1", "train.lr=1e-4", "dataset.limit=400", "teacher.min_accuracy=0")
    summary = do(*overrides)
    assert summary["stages"][0]["certainty"]["entropy"]["1"] > 0.9
    assert "certainty" not in summary["stages"][1]
    assert "teacher convnet is nearly uniform" in capsys.readouterr().out.replace("\n", " ")


def test_logits_of_many_classes_are_held_for_fewer_images():
    assert [most_images(classes) for classes in (2, 10, 2000)] == [10_000] * 3
    assert most_images(21_841) == LOGITS // 21_841
    assert most_images(LOGITS + 1) == 1
