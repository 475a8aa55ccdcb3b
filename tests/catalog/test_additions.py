"""Anything can be added by its code and its row alone: `additions` adds one of each kind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kdrun.store.files import read_json_lines, read_sealed

ROOT = Path(__file__).parents[2]
WORDS = (
    *("student=linear_net", "teacher=linear_net", "teacher.min_accuracy=0"),
    *("dataset.name=stripes", "dataset.stripes=10", "dataset.augment=none"),
    *("temperature.schedule=root", "temperature.power=3", "loss.T=8"),
    *("train.schedule=triangle", "train.summit=0.25", "train.warmup_epochs=0"),
    *("train.optimizer=adam", "train.beta=0.8", "train.lr=0.01", "train.batch_size=32"),
    *("chain.method=patient", "chain.patience=3", "train.epochs=2", "logger=lines"),
    *("train.device=cpu", "train.threads=1", "hydra.run.dir=run"),
)


def kdrun(folder, *words):
    """`kdrun` with the additions, in a process of its own: its schema knows them from the start."""
    command = [sys.executable, "-m", "tests.catalog.additions", *words]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a run with one more row of every table."""
    folder = tmp_path_factory.mktemp("additions")
    process = kdrun(folder, *WORDS)
    assert process.returncode == 0, process.stderr
    return folder / "run"


def test_a_run_uses_the_added_data_set_network_and_chain(done):
    summary = read_sealed(done / "summary.json")
    assert (summary["dataset"], summary["test_images"]) == ("stripes", 120)
    stages = [(one["role"], one["arch"], one["epochs"]) for one in summary["stages"]]
    assert stages == [("teacher", "linear_net", 2), ("student", "linear_net", 6)]
    assert summary["stages"][0]["parameters"] == 37 * 12


def test_a_run_follows_the_added_schedules(done):
    lines = [one for one in read_json_lines(done / "metrics.jsonl") if one["role"] == "student"]
    assert [one["T"] for one in lines] == pytest.approx(
        [8 ** (1 - (epoch / 5) ** (1 / 3)) for epoch in range(6)]
    )
    updates = lines[-1]["update"]
    assert lines[2]["lr"] == pytest.approx(0.01 * (1 - (lines[2]["update"] - 1) / updates) / 0.75)


def test_a_term_has_indices_a_head_work_before_epochs_numbers_and_parameters(tmp_path):
    words = ("loss=kd", "loss.memory.weight=0.5", "loss.memory.rise=2", "temperature=constant")
    small = ("train.epochs=2", "dataset.limit=200", "chain.control=false", "analysis=off")
    models = ("student=linear_net", "teacher=mlp", "teacher.min_accuracy=0", "train.batch_size=30")
    process = kdrun(tmp_path, *words, *small, *models, *WORDS[-3:])
    assert process.returncode == 0, process.stderr
    lines = read_json_lines(tmp_path / "run" / "metrics.jsonl")
    terms = [line["terms"]["memory"] for line in lines if line["role"] == "student"]
    assert [(term["least"], term["most"]) for term in terms] == [(1, 1), (2, 2)]
    assert [term["prior"] for term in terms] == pytest.approx([1, 1])
    assert terms[0]["scale"] != terms[1]["scale"] != 1
    assert all(term["weight"] == 0.5 for term in terms)


def test_a_run_chooses_T_by_the_added_method(tmp_path):
    words = ("temperature=auto", "temperature.method=part", "temperature.part=0.25")
    small = ("train.epochs=1", "dataset.limit=300", "chain.control=false", "analysis=off")
    models = ("student=linear_net", "teacher=linear_net", "teacher.min_accuracy=0")
    process = kdrun(tmp_path, *words, *small, *models, *WORDS[-3:])
    assert process.returncode == 0, process.stderr
    (choice,) = read_sealed(tmp_path / "run" / "temperature.json")["choices"]
    assert choice["method"] == "part"
    assert choice["T"] == round(1 + 0.25 * (choice["guideline"] - 1), 2)


def test_a_run_sends_its_epochs_to_the_added_sink(done):
    assert [line.split()[0] for line in (done / "lines.txt").read_text().splitlines()] == list(
        "12123456"
    )


def test_the_options_of_added_rows_are_saved_and_are_part_of_the_stage(done):
    saved = yaml.safe_load((done / "config.yaml").read_text())
    assert saved["temperature"]["power"] == 3.0
    assert (saved["dataset"]["stripes"], saved["chain"]["patience"]) == (10, 3)
    student = read_sealed(done / "summary.json")["stages"][1]["hash"]
    identity = json.loads((done.parent / "outputs/store" / student / "stage.json").read_text())
    assert identity["loss"]["temperature"] == {"schedule": "root", "power": 3.0}
    assert (identity["train"]["beta"], identity["train"]["summit"]) == (0.8, 0.25)


def test_help_lists_what_was_added(tmp_path):
    text = kdrun(tmp_path, "--help").stdout
    assert "linear_net" in text
    assert "temperature.schedule=    constant, linear, cosine, exponential, step" in text
    assert "  power: 2.0              # root: how much it slows down" in text
    settings = yaml.safe_load(text.partition("with their defaults:")[2])
    assert settings["train"]["beta"] == 0.9
    assert settings["dataset"]["stripes"] == 20
    assert settings["chain"]["patience"] == 2


def test_what_is_wrong_with_added_words_and_options_is_told(tmp_path):
    wrong = {
        "temperature.power=99": "temperature.power=99: must be at least 1 and at most 9",
        "temperature.powr=2": "did you mean 'temperature.power'?",
        "train.optimizer=adm": "did you mean 'adam'?",
        "dataset.name=strpes": "did you mean 'stripes'?",
        "student=linear_nt": "did you mean 'linear_net'?",
    }
    process = kdrun(tmp_path, *wrong)
    assert process.returncode == 2
    for told in wrong.values():
        assert told in process.stderr


HASHES = """
import json, sys
from tests.catalog.additions import register
register()
from kdrun.config.compose import register
from tests.plan.stage_hashes import hashes
register()
print(json.dumps([hashes(case.split()) for case in json.loads(sys.argv[1])]))
"""


UNREAD = " temperature.power=4 train.beta=0.5 train.summit=0.2"


@pytest.fixture(scope="module")
def hashes():
    """The hashes of stages, by their overrides, where every table has one more row."""
    root, adam = "temperature.schedule=root", "temperature.schedule=root train.optimizer=adam"
    cases = [case + option for case in ("loss.T=1", "train=adamw") for option in ("", UNREAD)]
    cases += [root, f"{root} temperature.power=4", adam, f"{adam} train.beta=0.5"]
    part = "temperature=auto temperature.method=part"
    cases += [part, f"{part} temperature.part=0.9"]
    command = [sys.executable, "-c", HASHES, json.dumps(cases)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(zip(cases, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", ["loss.T=1", "train=adamw"])
def test_added_rows_and_their_options_leave_the_stages_of_others_as_they_were(hashes, case):
    recorded = json.loads((ROOT / "tests/plan/stage_hashes.json").read_text())["stages"][case]
    assert hashes[case] == hashes[case + UNREAD] == recorded


def test_an_option_of_an_added_row_that_is_chosen_changes_the_hash(hashes):
    students = [stages[1] for case, stages in hashes.items() if "temperature" in case[:12]]
    assert len(set(students)) == len(students) == 6


def test_an_option_that_the_chosen_row_leaves_to_an_added_one_is_told(tmp_path):
    process = kdrun(tmp_path, "plan", "train.beta=0.5", "chain.patience=3")
    assert "train.beta=0.5 changes nothing: train.optimizer=sgd does not read it" in process.stdout
    assert "chain.patience=3 changes nothing: chain.method=none does not" in process.stdout
