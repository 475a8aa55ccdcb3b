"""An exported student, read back by other means than the export's own."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kdrun.cli.entry import main
from kdrun.errors import ConfigError, DamagedError, WeightsError
from kdrun.export import formats
from kdrun.export.deployed import Deployed
from kdrun.export.model_card import model_card
from kdrun.export.student import export_student
from kdrun.models.build import build_model
from kdrun.runs.prepare import load_data
from kdrun.runs.runner import run
from kdrun.store.files import read_sealed, write_sealed


@pytest.fixture(scope="module")
def done(make_config, tmp_path_factory):
    """A finished run with a student that has BatchNorm: config and folder."""
    root = tmp_path_factory.mktemp("outputs")
    config = make_config(
        *("teacher=convnet", "teacher.width=8", "student=convnet", "student.width=4"),
        *("train.epochs=5", "train.device=cpu", "train.precision=fp32", "dataset.limit=400"),
        *("teacher.min_accuracy=0", "analysis=off", f"output_root={root}"),
    )
    run(config, root / "run", [])
    return config, root / "run"


def test_weights_and_card_rebuild_the_student_with_its_test_accuracy(done):
    config, folder = done
    card = export_student(folder, ["safetensors"])
    assert json.loads((folder / "export" / "student.json").read_text()) == card
    network = build_model(card["arch"], num_classes=10, in_channels=1, image_size=8, width=4)
    network.load_state_dict(load_file(folder / "export" / "student.safetensors"))
    data = load_data(config, torch.device("cpu"))
    (batch,) = data.test.batches(10_000)
    mean, std = (torch.tensor(card["normalization"][k]) for k in ("mean", "std"))
    images = (batch.images / 255 - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
    with torch.no_grad():
        accuracy = (network.eval()(images).argmax(1) == batch.labels).double().mean().item()
    summary = read_sealed(folder / "summary.json")
    assert card["test_accuracy"] == accuracy
    assert accuracy == pytest.approx(summary["stages"][1]["accuracy"]["test_at_best_validation"])


def test_a_run_whose_figures_contradict_each_other_is_not_exported(done, tmp_path):
    _, folder = done
    root = tmp_path / "outputs"
    without = shutil.ignore_patterns("export")
    shutil.copytree(folder.parent, root, symlinks=True, ignore=without)
    path = root / "run" / "summary.json"
    content = read_sealed(path)
    content["gains"][0]["points"] += 20
    write_sealed(path, content)
    with pytest.raises(DamagedError, match="the gain of student convnet over control convnet"):
        export_student(root / "run", ["safetensors"])
    assert not (root / "run" / "export").exists()


def test_a_program_takes_any_number_of_images(done):
    _, folder = done
    entry = export_student(folder, ["pt2"])["files"]["pt2"]
    assert entry["max_logit_difference"] < 1e-4
    assert entry["latency"]["median_ms"] > 0
    program = torch.export.load(folder / "export" / "student.pt2").module()
    for count in (1, 2, 7):
        images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8)
        assert program(images).shape == (count, 10)


def test_onnx_decides_as_the_network_does(done):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    _, folder = done
    card = export_student(folder, ["onnx"])
    assert card["files"]["onnx"]["max_logit_difference"] < 1e-3
    session = runtime.InferenceSession(folder / "export" / "student.onnx")
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8).numpy()
    (logits,) = session.run(["logits"], {"images": images})
    assert logits.shape == (3, 10)


def test_the_normalisation_is_part_of_what_is_deployed():
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8)
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    found = Deployed(torch.nn.Identity(), mean, std)(images)
    expected = images.double() / 255 - torch.tensor(mean).view(3, 1, 1).double()
    expected = expected / torch.tensor(std).view(3, 1, 1).double()
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-6)


def test_a_file_that_decides_otherwise_is_not_kept(done, monkeypatch):
    _, folder = done
    for path in (folder / "export").glob("student.*"):
        path.unlink()
    true = formats.FORMATS["safetensors"]
    wrong = replace(true, read=lambda path, fresh: lambda images: -true.read(path, fresh)(images))
    monkeypatch.setitem(formats.FORMATS, "safetensors", wrong)
    with pytest.raises(WeightsError, match="is not kept"):
        export_student(folder, ["safetensors"])
    assert not list((folder / "export").glob("*student.*"))


def test_a_missing_package_is_told_before_anything_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'kdrun\[onnx\]'"):
        export_student(tmp_path, ["onnx"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "onx"], "did you mean 'onnx'?"),
        (["more"], "more: is not a setting"),
        ([], "not the folder of a run"),
    ],
)
def test_a_wrong_export_command_gives_one_line(tmp_path, capsys, words, told):
    with pytest.raises(SystemExit) as left:
        main(["export", str(tmp_path), *words])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_a_sweep_is_told_to_be_one(tmp_path, capsys):
    (tmp_path / "sweep.yaml").write_text("format: 1\noverrides: []\njobs: null\n")
    with pytest.raises(SystemExit):
        main(["export", str(tmp_path)])
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"kdrun: {tmp_path}: is a sweep; give the folder of a job: {tmp_path / '0'}"


def test_the_card_shows_names_as_they_are(done):
    _, folder = done
    card = export_student(folder, ["safetensors"])
    summary = read_sealed(folder / "summary.json")
    text = model_card(card | {"class_names": ["<script>", "[a](b)"]}, summary)
    assert "\\<script\\>" in text
    assert "[a](b)" not in text
    assert f"**{card['test_accuracy']:.2%}**" in text


def test_the_card_tells_who_taught_and_settings_as_they_are_written(done):
    _, folder = done
    card = export_student(folder, ["safetensors"])
    text = (folder / "export" / "README.md").read_text()
    summary = read_sealed(folder / "summary.json")
    test = summary["stages"][0]["accuracy"]["test_at_best_validation"]
    assert f"images of digits, taught by convnet ({test:.2%} of the test images)." in text
    assert card["training_images"] == 360
    for row in (
        "train.nesterov | true",
        "train.grad\\_clip | null",
        "loss.weights.hard | 0.1",
        "loss.kl.weight | 0.9",
    ):
        assert f"| {row} |" in text


def test_the_cards_python_answers_as_the_program_does(done, monkeypatch):
    _, folder = done
    export_student(folder, ["safetensors", "pt2"])
    monkeypatch.chdir(folder / "export")
    text = Path("README.md").read_text()
    assert "images of another size are resized to 8x8 (bilinear, antialiased)." in text
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    names = {"images": images}
    exec("\n".join(line[4:] for line in text.splitlines() if line.startswith("    ")), names)
    expected = torch.export.load("student.pt2").module()(images)
    torch.testing.assert_close(names["logits"], expected, atol=1e-4, rtol=1e-4)


def test_files_of_earlier_exports_stay_while_they_are_whole(done):
    _, folder = done
    export_student(folder, ["pt2"])
    card = export_student(folder, ["safetensors"])
    assert set(card["files"]) == {"pt2", "safetensors"}
    assert "student.pt2" in (folder / "export" / "README.md").read_text()
    modes = {(folder / "export" / e["file"]).stat().st_mode for e in card["files"].values()}
    assert modes == {(folder / "export" / "README.md").stat().st_mode}
    (folder / "export" / "student.pt2").write_bytes(b"other")
    assert list(export_student(folder, ["safetensors"])["files"]) == ["safetensors"]
    assert not (folder / "export" / "student.pt2").exists()
