"""A finished run, and one that a stranger has doctored."""

import shutil

import pytest

from kdrun.runs.runner import run
from kdrun.store.files import read_sealed, write_sealed

SMALL = (
    *("teacher=convnet", "teacher.width=8", "student=convnet", "student.width=4"),
    *("train.epochs=2", "train.precision=fp32", "train.device=cpu", "teacher.min_accuracy=0"),
    *("dataset.limit=400", "analysis=full"),
)


@pytest.fixture(scope="session")
def finished_run(make_config, tmp_path_factory):
    """The folder of a run with everything measured; not to be changed."""
    root = tmp_path_factory.mktemp("outputs")
    run(make_config(*SMALL, f"output_root={root}"), root / "run", ["train.epochs=2"])
    return root / "run"


@pytest.fixture
def altered(finished_run, tmp_path):
    """name of a sealed file, change of its content -> a copy of the run with it."""

    def altered(**changes):
        folder = tmp_path / "run"
        shutil.copytree(finished_run, folder, symlinks=True)
        for name, change in changes.items():
            content = read_sealed(folder / f"{name}.json")
            change(content)
            (folder / f"{name}.json").unlink()
            write_sealed(folder / f"{name}.json", content)
        return folder

    return altered
