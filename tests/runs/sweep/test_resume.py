"""The output root of a sweep that is gone on with: from its folder, never from its notes."""

import pytest

from kdrun.errors import ConfigError
from kdrun.runs.sweep.resume import root_of_sweep, with_root
from kdrun.store.stages import make_store
from kdrun.store.sweep_folder import begin_sweep
from tests.runs.sweep.test_sweep import main_code


def test_it_is_where_the_store_is(tmp_path):
    begin_sweep(tmp_path / "a" / "sweep", [], [["loss.T=1", "output_root=/elsewhere"]])
    make_store(tmp_path / "a")
    assert root_of_sweep(tmp_path / "a" / "sweep") == tmp_path / "a"
    assert with_root(tmp_path / "a" / "sweep", []) == [f"output_root='{tmp_path / 'a'}'"]


def test_a_sweep_in_its_usual_place_needs_no_store(tmp_path):
    begin_sweep(tmp_path / "a" / "sweeps" / "now", [], [["loss.T=1"]])
    assert root_of_sweep(tmp_path / "a" / "sweeps" / "now") == tmp_path / "a"


def test_one_elsewhere_is_found_by_the_stages_of_its_jobs(tmp_path):
    stage = tmp_path / "a" / "store" / "0123"
    stage.mkdir(parents=True)
    (stage / "stage.json").touch()
    links = tmp_path / "sweep" / "0" / "stages"
    links.mkdir(parents=True)
    (links / "00-teacher").symlink_to(stage)
    assert root_of_sweep(tmp_path / "sweep") == tmp_path / "a"


def test_one_that_cannot_be_found_must_be_named(tmp_path):
    begin_sweep(tmp_path / "sweep", [], [["loss.T=1", "output_root=/elsewhere"]])
    with pytest.raises(ConfigError, match="to use that folder add output_root=/elsewhere"):
        with_root(tmp_path / "sweep", [])
    assert with_root(tmp_path / "sweep", ["output_root=/x"]) == ["output_root=/x"]


def test_a_sweep_makes_its_store_before_its_first_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kdrun.runs.sweep.begin.check_jobs", lambda config, jobs: None)
    assert main_code(["-m", "loss.T=0,-1", "output_root=o", "hydra.sweep.dir=o/sw"]) == 2
    assert root_of_sweep(tmp_path / "o" / "sw") == tmp_path / "o"


def test_a_folder_of_another_program_called_store_is_not_the_output_root(tmp_path):
    (tmp_path / "store" / "photos").mkdir(parents=True)
    folder = tmp_path / "sweeps-of-mine" / "sweep"
    begin_sweep(folder, [], [["loss.T=1", "output_root=/elsewhere"]])
    with pytest.raises(ConfigError, match="to use that folder add output_root=/elsewhere"):
        root_of_sweep(folder)
