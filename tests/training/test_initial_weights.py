"""Which of a run's models `weights=RUN` means."""

import pytest

from kdrun.data.dataset import IMAGENET_MEAN, IMAGENET_STD
from kdrun.errors import DamagedError, WeightsError
from kdrun.store.files import read_sealed, write_sealed
from kdrun.training.initial_weights import resolve_weights


@pytest.fixture
def made(tmp_path):
    """A run folder with these stages, by their links' names, all but the missing finished."""

    def made(*names, missing=(), stages=None):
        for name in names:
            folder = tmp_path / "run" / "stages" / name
            folder.mkdir(parents=True)
            (folder / "best.safetensors").write_bytes(name.encode())
            if name not in missing:
                write_sealed(folder / "summary.json", {"files": {}})
        (tmp_path / "run" / "plan.json").touch()
        if stages is not None:
            write_sealed(tmp_path / "run" / "summary.json", {"seed": 0, "stages": stages})
        return tmp_path / "run"

    return made


def chosen(folder, monkeypatch):
    module = "kdrun.training.initial_weights"
    monkeypatch.setattr(f"{module}.stage_weights", lambda stage, name, digest: stage.name)
    monkeypatch.setattr(f"{module}.own_digest", lambda stage: "")
    monkeypatch.setattr(f"{module}.planned_hashes", lambda folder: [])
    monkeypatch.setattr(f"{module}.read_summary", lambda run: read_sealed(run / "summary.json"))
    return resolve_weights(str(folder), arch="resnet8", library="kdrun")


def test_of_several_seeds_it_is_the_first_ones_student(made, monkeypatch):
    roles = ["teacher", "teacher", "student", "student", "control", "control"]
    accuracy = {"train": 0.9, "last": 0.8, "best_validation": 0.8}
    stages = [
        {"role": role, "seed": n % 2, "epochs": 1, "accuracy": accuracy}
        for n, role in enumerate(roles)
    ]
    names = [f"{n:02}-{role}-resnet8-seed{n % 2}" for n, role in enumerate(roles)]
    assert chosen(made(*names, stages=stages), monkeypatch) == "02-student-resnet8-seed0"


def test_a_run_whose_stages_contradict_themselves_teaches_nothing(made, monkeypatch):
    accuracy = {"train": None, "last": 0.8, "best_validation": 0.8}
    stages = [{"role": "student", "seed": 0, "epochs": 1, "accuracy": accuracy}]
    run = made("00-student-resnet8", stages=stages)
    with pytest.raises(DamagedError, match=r"stage 0: accuracy\.train is None with 1 epochs"):
        chosen(run, monkeypatch)


def test_of_an_unfinished_run_it_is_what_was_made_last(made, monkeypatch):
    names = [f"{n:02}-generation-resnet8" for n in (0, 99, 100, 101)]
    run = made(*names, "102-control-resnet8", missing=names[3:])
    assert chosen(run, monkeypatch) == "100-generation-resnet8"


def test_a_run_that_made_nothing_yet_is_refused(made, monkeypatch):
    names = ("00-teacher-resnet8", "01-student-resnet8")
    with pytest.raises(WeightsError, match="holds no finished stage or run"):
        chosen(made(*names, missing=names[1:]), monkeypatch)


@pytest.mark.parametrize(
    ("arch", "mean", "std"),
    [("test_vit", [0.5] * 3, [0.5] * 3), ("resnet18", list(IMAGENET_MEAN), list(IMAGENET_STD))],
)
def test_a_file_of_a_timm_model_gets_the_normalisation_timm_publishes_it_with(
    tmp_path, arch, mean, std
):
    pytest.importorskip("timm")
    file = tmp_path / "given.safetensors"
    file.write_bytes(b"weights")
    timms = resolve_weights(str(file), arch=arch, library="timm")
    assert timms.card["normalization"] == {"mean": mean, "std": std}
    assert resolve_weights(str(file), arch="resnet18", library="kdrun").card == {}
