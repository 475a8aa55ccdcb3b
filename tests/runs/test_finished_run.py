"""Finished runs opened again: every seed and every kind of chain, in the order of the summary."""

import shutil
from statistics import mean, stdev

import pytest

from kdrun.cli.entry import main
from kdrun.errors import ConfigError, DataError
from kdrun.export.student import export_student
from kdrun.report.comparison import run_rows
from kdrun.report.run_page import write_report
from kdrun.runs.analyze import analyze_run
from kdrun.runs.finished_run import finished_jobs
from kdrun.runs.resume import resume_run
from kdrun.runs.runner import run
from kdrun.runs.sweep.sweep import record_failure
from kdrun.store.files import read_json, read_sealed, write_json
from kdrun.store.run_folder import Status, trained_stages
from kdrun.store.summary import student_place
from kdrun.training.initial_weights import resolve_weights
from tests.data.conftest import write_pictures
from tests.runs.sweep.test_sweep import main_code

QUICK = (
    *("teacher=convnet", "teacher.width=8", "student=mlp", "student.width=8", "train.epochs=1"),
    *("train.device=cpu", "teacher.min_accuracy=0", "dataset.limit=500", "train.batch_size=128"),
)
PLANS = {
    "seeds": ("seeds=[0,1]", "chain.control=true"),
    "assistants": ("chain=assistants", "chain.assistants=[resnet8]", "seeds=[3,4]"),
    "stopped early": (
        *("chain=born_again", "chain.generations=4", "chain.stop_early=true", "train.lr=1e-9"),
    ),
}


@pytest.fixture(scope="module", params=PLANS)
def folder(request, make_config, tmp_path_factory):
    root = tmp_path_factory.mktemp("outputs")
    config = make_config(*QUICK, *PLANS[request.param], f"output_root={root}")
    run(config, root / "run", [])
    return root / "run"


def test_the_jobs_are_those_of_the_summary(folder):
    hashes = [stage["hash"] for stage in read_sealed(folder / "summary.json")["stages"]]
    with finished_jobs(folder) as (jobs, settings):
        assert [stage_run.digest for stage_run in jobs] == hashes
        assert {stage_run.stage.seed for stage_run in jobs} == set(settings)


def test_a_copy_without_links_needs_no_store(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(folder, tmp_path / "copy", symlinks=False)
    (copy / "analysis.json").unlink()
    assert main_code(["verify", "copy"]) == 0
    measured = read_sealed(analyze_run(copy, "basic"))["models"]
    before = read_sealed(folder / "analysis.json")["models"]
    assert [model["splits"] for model in measured] == [model["splits"] for model in before]
    summary = read_sealed(copy / "summary.json")
    place = student_place(summary)
    for path in (copy / "stages").iterdir():
        if not path.name.startswith(f"{place:02}-"):
            shutil.rmtree(path)
    card = export_student(copy, ["safetensors"])
    accuracy = summary["stages"][place]["accuracy"]["test_at_best_validation"]
    assert card["test_accuracy"] == pytest.approx(accuracy)
    with pytest.raises(ConfigError, match="is neither in the run nor in the store"):
        analyze_run(copy, "basic")
    source = resolve_weights(str(copy), arch="mlp", library="kdrun")
    assert source.card["hash"] == summary["stages"][place]["hash"]
    assert list(tmp_path.iterdir()) == [copy]


def test_every_stage_is_measured_at_its_place_and_has_a_page(folder):
    assert (folder / "report.html").exists()
    stages = read_sealed(folder / "summary.json")["stages"]
    for analysis in (folder / "analysis.json", analyze_run(folder, "basic")):
        models = read_sealed(analysis)["models"]
        assert [model["stage"] for model in models] == list(range(len(stages)))
        for model, stage in zip(models, stages, strict=True):
            test = stage["accuracy"]["test_at_best_validation"]
            assert model["splits"]["test"]["accuracy"] == pytest.approx(test)


def test_the_page_names_who_taught_whom_and_begins_with_the_means(folder):
    summary = read_sealed(folder / "summary.json")
    page = write_report(folder).read_text()
    archs = dict.fromkeys(
        stage["arch"]
        for stage in summary["stages"]
        if stage["role"] in ("teacher", "assistant", "student")
    )
    title = " → ".join(archs) or "2 generations of mlp"
    assert f"<h1>{title} on digits</h1>" in page
    seeds = summary["seeds"]
    assert ("Every seed" in page) == bool(seeds)
    if seeds:
        tests = [
            stage["accuracy"]["test_at_best_validation"]
            for stage in summary["stages"]
            if stage["role"] == "student"
        ]
        told = f"{mean(tests):.2%} ± {stdev(tests):.2%}".rstrip("%")
        assert page.index(told) < page.index("Every seed")


def test_it_can_be_compared_and_exported(folder):
    seeds = read_sealed(folder / "summary.json")["seeds"]
    assert len(run_rows(folder)) == max(1, len(seeds))
    assert export_student(folder, ["safetensors"])["test_accuracy"] >= 0


def test_an_export_of_several_seeds_says_whose_student_it_is(folder, capsys):
    seeds = read_sealed(folder / "summary.json")["seeds"]
    with pytest.raises(SystemExit):
        main(["export", str(folder), "--format", "safetensors"])
    card = (folder / "export" / "README.md").read_text()
    told = f"the student of seed {seeds[0]}, the first of the seeds" if seeds else "of seed"
    assert (told in card, told in capsys.readouterr().out) == (bool(seeds), bool(seeds))


def test_a_run_on_images_that_were_moved_says_where_they_may_be_told(make_config, tmp_path):
    images, folder = write_pictures(tmp_path / "images", {"train": 8, "val": 4}), tmp_path / "run"
    options = (f"dataset.root={images}", "dataset.image_size=16", "dataset.val_fraction=0.25")
    small = (
        "teacher=mlp",
        "student=mlp",
        "train.epochs=1",
        "train.batch_size=8",
        "train.workers=0",
    )
    chance = ("teacher.min_accuracy=0", f"output_root={tmp_path / 'outputs'}", "analysis=off")
    run(make_config("dataset=imagefolder", *options, *small, *chance), folder, [])
    moved = {"dataset.root": str(images.rename(tmp_path / "moved"))}
    with pytest.raises(DataError, match=r"dataset\.root=.*/images: No such file"):
        export_student(folder, ["safetensors"])
    assert export_student(folder, ["safetensors"], moved)["test_images"] == 12
    assert resume_run(folder, [f"dataset.root={moved['dataset.root']}"])["status"] == "done"
    (tmp_path / "moved" / "train" / "cat" / "1.jpg").unlink()
    with pytest.raises(DataError, match=r"changed since the run began.*restore them"):
        analyze_run(folder, "basic", moved)


def test_a_failure_recorded_from_outside_keeps_what_the_run_had_trained(tmp_path):
    Status(tmp_path, [0, 1]).write("running")
    record_failure(tmp_path, 137, "its process was killed")
    assert trained_stages(tmp_path) == [0, 1]
    assert read_json(tmp_path / "status.json")["error"]["code"] == 137
    write_json(tmp_path / "status.json", {"trained": "nonsense"})
    assert trained_stages(tmp_path) == []
