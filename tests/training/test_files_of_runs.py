"""Weights files of kdrun's own, given by their path."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from kdrun.errors import DamagedError, WeightsError
from kdrun.export.student import export_student
from kdrun.models.build import build_model
from kdrun.models.weights.given import load_given
from kdrun.runs.runner import run
from kdrun.store.files import read_json
from kdrun.training.files_of_runs import UNRECORDED, file_of_run
from kdrun.training.initial_weights import check_card, resolve_weights


@pytest.fixture(scope="module")
def done(make_config, tmp_path_factory):
    """A finished run of a student alone: config, folder and its stage."""
    root = tmp_path_factory.mktemp("outputs")
    config = make_config(
        *("student=convnet", "student.width=4", "loss=none", "loss.label_smoothing=0.1"),
        *("train.epochs=1", "train.device=cpu", "train.precision=fp32", "dataset.limit=200"),
        *("student.normalization.mean=[0.25]", "student.normalization.std=[0.5]"),
        *("analysis=off", f"output_root={root}"),
    )
    run(config, root / "run", [])
    export_student(root / "run", ["safetensors"])
    (link,) = (root / "run" / "stages").glob("*-student-*")
    return config, root / "run", link


NORMALIZATION = {"mean": [0.25], "std": [0.5]}


def source_of(path):
    return resolve_weights(str(path), arch="convnet", library="kdrun")


def test_the_file_of_a_finished_stage_is_the_stage(done):
    _, folder, link = done
    for path in (link / "best.safetensors", link.resolve() / "best.safetensors"):
        found, whole = source_of(path), source_of(folder)
        assert (found.identity, found.card, found.data) == (whole.identity, whole.card, whole.data)
        assert found.label_smoothing == 0.1


@pytest.mark.parametrize("kind", ["update", "best", "export"])
def test_other_files_of_a_run_bring_split_and_normalisation(done, kind):
    _, folder, link = done
    path = {
        "update": lambda: next(link.glob("checkpoints/update-*")) / "weights.safetensors",
        "best": lambda: next(link.glob("checkpoints/best-*.safetensors")),
        "export": lambda: folder / "export" / "student.safetensors",
    }[kind]()
    found = source_of(path)
    assert found.card["normalization"] == NORMALIZATION
    assert found.data == read_json(link / "stage.json")["data"]
    assert (found.path, found.label_smoothing, found.notes) == (path, 0.1, ())
    with pytest.raises(WeightsError, match="contains a convnet, not a resnet8"):
        check_card(found, arch="resnet8", class_names=())


def test_a_checkpoint_gives_the_student_s_tensors(done):
    _, _, link = done
    path = next(link.glob("checkpoints/update-*")) / "weights.safetensors"
    torch.manual_seed(5)
    model = build_model("convnet", num_classes=10, in_channels=1, image_size=8, width=4)
    line = load_given(model, path, source="c")
    assert "stripped 'student.' from all names" in line
    stored = load_file(path)
    assert all(torch.equal(v, stored[f"student.{k}"]) for k, v in model.state_dict().items())


def test_a_stage_that_is_not_finished_says_what_is_not_recorded(done, tmp_path):
    _, _, link = done
    stage = tmp_path / "store" / link.resolve().name
    shutil.copytree(link.resolve(), stage)
    (stage / "summary.json").unlink()
    checkpoint = next(stage.glob("checkpoints/update-*")) / "weights.safetensors"
    assert source_of(checkpoint).card == {"arch": "convnet", "normalization": NORMALIZATION}
    content = read_json(stage / "stage.json")
    del content["model"]["normalization"]
    (stage / "stage.json").write_text(json.dumps(content))
    found = source_of(checkpoint)
    assert (found.card, found.data) == ({"arch": "convnet"}, content["data"])
    assert found.notes == (f"{checkpoint}: {UNRECORDED}",)


def test_changed_files_are_refused(done, tmp_path):
    _, folder, link = done
    export = tmp_path / "export"
    shutil.copytree(folder / "export", export)
    other = build_model("convnet", num_classes=10, in_channels=1, image_size=8, width=4)
    save_file(other.state_dict(), export / "student.safetensors")
    with pytest.raises(DamagedError, match=r"student\.safetensors"):
        source_of(export / "student.safetensors")
    stage = tmp_path / "store" / link.resolve().name
    shutil.copytree(link.resolve(), stage)
    checkpoint = next(stage.glob("checkpoints/update-*")) / "weights.safetensors"
    save_file(other.state_dict(), checkpoint)
    with pytest.raises(DamagedError, match=r"weights\.safetensors"):
        source_of(checkpoint)


def test_a_card_of_something_else_is_told(done, tmp_path):
    _, folder, _ = done
    shutil.copy(folder / "export" / "student.safetensors", tmp_path / "a.safetensors")
    (tmp_path / "student.json").write_text("{}")
    with pytest.raises(DamagedError, match=r"student\.json is damaged: files is missing"):
        source_of(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("files", "safetensors"), {"file": "student.safetensors", "bytes": 1}),
        (("class_names",), 5),
        (("recipe", "loss"), [1]),
        (("recipe", "loss"), "abc"),
        (("normalization",), "abc"),
        (("recipe", "data"), [1]),
        (("arch",), None),
    ],
)
def test_a_card_with_nonsense_is_told(done, tmp_path, path, value):
    export = shutil.copytree(done[1] / "export", tmp_path / "export")
    card = read_json(export / "student.json")
    section = card
    for name in path[:-1]:
        section = section[name]
    section[path[-1]] = value
    (export / "student.json").write_text(json.dumps(card))
    with pytest.raises(DamagedError, match=r"student\.json is damaged: .*export the run again"):
        source_of(export / "student.safetensors")


def test_files_elsewhere_are_of_no_run(done, tmp_path):
    _, _, link = done
    shutil.copy(link / "best.safetensors", tmp_path)
    assert file_of_run(tmp_path / "best.safetensors") is None
    assert source_of(tmp_path / "best.safetensors").card == {}


def test_a_run_of_other_classes_may_be_a_start_but_no_teacher(done):
    found = source_of(done[1])
    names = tuple(found.card["class_names"])
    with pytest.raises(WeightsError, match="was trained on 10 classes, the data set has 3"):
        check_card(found, arch="convnet", class_names=names[:3])
    check_card(found, arch="convnet", class_names=names[:3], new_head=True)
    with pytest.raises(WeightsError, match="other classes or another order"):
        check_card(found, arch="convnet", class_names=names[::-1], new_head=True)
