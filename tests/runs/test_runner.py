"""Whole runs on the digits, through the runner, as the command line calls it."""

import json
import math
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kdrun.catalog.terms import soft_names
from kdrun.config.paths import config_folder
from kdrun.errors import ConfigError, NumericError, Stopped, WeightsError
from kdrun.models.build import build_model
from kdrun.runs import reuse
from kdrun.runs.runner import run
from kdrun.store.files import read_json, read_json_lines, read_sealed

QUICK = (
    "teacher=convnet",
    "teacher.width=8",
    "student=mlp",
    "student.width=16",
    "train.epochs=2",
    "train.precision=fp32",
    "train.device=cpu",
    "analysis=off",
)


@pytest.fixture
def do(make_config, tmp_path):
    """Run with the overrides in a store of its own; returns the summary and the folder."""

    def do(*overrides, root="outputs", folder=None):
        folder = tmp_path / folder if folder else None
        config = make_config(*QUICK, f"output_root={tmp_path / root}", *overrides)
        summary = run(config, folder, overrides)
        folder = folder or max((tmp_path / root).glob("digits/*/*"), key=lambda p: p.name)
        return summary, folder

    return do


def weights(folder: Path, role: str):
    (stage,) = folder.glob(f"stages/*-{role}-*")
    return load_file(stage / "best.safetensors")


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_run_leaves_a_complete_folder(do):
    summary, folder = do()
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        *("config.yaml", "overrides.yaml", "environment.json", "plan.json", "run.log", "stages"),
        *("metrics.jsonl", "summary.json", "status.json"),
    }
    assert read_sealed(folder / "summary.json") == summary
    assert read_json(folder / "status.json")["status"] == "done"
    assert [stage["role"] for stage in summary["stages"]] == ["teacher", "student", "control"]
    for stage in summary["stages"]:
        assert not stage["reused"]
        for name in ("last", "best_validation", "test_at_best_validation"):
            assert 0 <= stage["accuracy"][name] <= 1


def test_metrics_have_a_line_for_each_epoch_with_every_term_raw_and_weighted(do):
    _, folder = do("loss.alpha=0.75")
    lines = read_json_lines(folder / "metrics.jsonl")
    assert [(line["role"], line["epoch"]) for line in lines] == [
        (role, epoch) for role in ("teacher", "student", "control") for epoch in (1, 2)
    ]
    for line in lines:
        for term in line["terms"].values():
            assert term["weighted"] == pytest.approx(term["weight"] * term["raw"])
        total = sum(term["weighted"] for term in line["terms"].values())
        assert line["loss"] == pytest.approx(total, rel=1e-6)
    student = lines[2]["terms"]
    assert {name: term["weight"] for name, term in student.items()} == {
        "kl": 0.75,
        "cross_entropy": 0.25,
    }


def test_two_runs_of_one_seed_are_bit_identical(do):
    first, a = do(root="one")
    second, b = do(root="two")
    for role in ("teacher", "student", "control"):
        assert same(weights(a, role), weights(b, role))
    for one, two in zip(first["stages"], second["stages"], strict=True):
        assert one["hash"] == two["hash"]
        assert one["accuracy"] == two["accuracy"]


def test_another_seed_gives_other_weights(do):
    _, a = do(root="one")
    _, b = do("train.seed=1", root="two")
    assert not same(weights(a, "student"), weights(b, "student"))


def test_finished_stages_are_reused_and_only_the_student_is_trained_again(do):
    do()
    summary, folder = do("loss.T=2")
    reused = {stage["role"]: stage["reused"] for stage in summary["stages"]}
    assert reused == {"teacher": True, "student": False, "control": True}
    assert len(read_json_lines(folder / "metrics.jsonl")) == 6


def test_alpha_zero_is_the_plain_run_bit_for_bit(do):
    _, plain = do("loss=none", root="one")
    _, zero = do("loss.alpha=0", "loss.T=9", root="two")
    _, distilled = do(root="three")
    assert same(weights(plain, "student"), weights(zero, "student"))
    assert same(weights(distilled, "control"), weights(zero, "student"))


def test_the_distilled_student_differs_from_its_control(do):
    _, folder = do()
    assert not same(weights(folder, "student"), weights(folder, "control"))


@pytest.mark.parametrize("soft", soft_names())
def test_every_soft_loss_trains(do, soft):
    summary, folder = do(
        f"loss.soft={soft}", "loss.alpha=1", "chain.control=false", "loss.dkd.warmup_epochs=0"
    )
    first, last = (line["loss"] for line in read_json_lines(folder / "metrics.jsonl")[2:])
    assert last < first
    assert summary["status"] == "done"


@pytest.mark.parametrize(
    "overrides",
    [
        ("train=adamw",),
        ("train.accumulate=3",),
        ("train.ema=0.9",),
        ("train.mixup=0.4",),
        ("train.cutmix=1.0",),
        ("train.grad_clip=0.5",),
        ("train.schedule=step",),
        ("temperature=cosine", "loss.T=8"),
        ("temperature=step", "temperature.every=1"),
        ("loss.T=inf", "loss.alpha=0.5"),
        ("loss.label_smoothing=0.1",),
        ("dataset.val_fraction=0",),
        ("dataset.label_noise=0.2",),
        ("train.channels_last=false", "student=convnet", "student.width=4"),
        ("train.precision=bf16",),
    ],
    ids=" ".join,
)
def test_every_option_trains_and_learns(do, overrides):
    summary, folder = do(*overrides, "chain.control=false", "train.epochs=3")
    lines = [x for x in read_json_lines(folder / "metrics.jsonl") if x["role"] == "student"]
    assert lines[-1]["train_accuracy"] > lines[0]["train_accuracy"]
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert summary["status"] == "done"


def test_without_validation_the_last_weights_are_kept(do):
    summary, _ = do("dataset.val_fraction=0", "chain.control=false")
    student = summary["stages"][1]
    assert student["accuracy"]["best_validation"] is None
    assert student["best_epoch"] == 2


def test_the_temperature_schedule_is_logged(do):
    _, folder = do("temperature=linear", "loss.T=5", "train.epochs=3", "chain.control=false")
    lines = read_json_lines(folder / "metrics.jsonl")
    assert [line["T"] for line in lines if line["role"] == "student"] == [5, 3, 1]
    assert {line["T"] for line in lines if line["role"] == "teacher"} == {None}


def test_a_teacher_from_a_finished_run_is_evaluated_not_trained(do, tmp_path):
    _, first = do("loss=none", "student=convnet", "student.width=8", folder="first")
    given = f"teacher.weights={first}"
    summary, folder = do(given, folder="second")
    teacher = summary["stages"][0]
    assert teacher["epochs"] == 0
    assert same(weights(folder, "teacher"), weights(first, "student"))
    (line,) = [x for x in (folder / "run.log").read_text().splitlines() if "evaluated first" in x]
    assert "teacher convnet" in line


def test_a_teacher_at_chance_is_refused(do):
    with pytest.raises(WeightsError, match=r"has only .*teacher.min_accuracy=0"):
        do("train.lr=1e-9")
    summary, _ = do("train.lr=1e-9", "teacher.min_accuracy=0")
    assert summary["status"] == "done"


def test_a_teacher_of_other_classes_is_refused_before_anything_is_written(do, tmp_path):
    torch.save(torch.nn.Linear(64, 100).state_dict(), tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt"):
        do(f"teacher.weights={tmp_path / 'other.pt'}")
    assert not (tmp_path / "outputs").exists()


def test_a_diverging_loss_stops_the_run_with_term_epoch_and_remedy(do):
    told = r"(hard|gradient) is not finite in epoch 1, update \d+ of the epoch \(images .*saved in"
    with pytest.raises(NumericError, match=told):
        do("train.lr=1000", "train.warmup_epochs=0", "train.momentum=0.99", "train.epochs=20")


def interrupt_after(log: Path, text: str):
    """Send SIGINT to this process when the text appears in a file below the folder."""

    def watch():
        while not stop.is_set():
            if any(text in path.read_text() for path in log.glob("digits/*/*/run.log")):
                os.kill(os.getpid(), signal.SIGINT)
                return
            stop.wait(0.002)

    stop = threading.Event()
    thread = threading.Thread(target=watch)
    thread.start()
    return thread, stop


@pytest.mark.parametrize("text", ["student mlp  epoch 1/6", "student mlp  epoch 3/6"])
def test_an_interrupted_run_goes_on_when_repeated_and_ends_the_same(do, tmp_path, text):
    longer = ("train.epochs=6", "chain.control=false")
    _, whole = do(*longer, root="whole")
    thread, stop = interrupt_after(tmp_path / "outputs", text)
    try:
        with pytest.raises(Stopped, match="student mlp"):
            do(*longer)
    finally:
        stop.set()
        thread.join()
    (stopped,) = (tmp_path / "outputs").glob("digits/*/*/status.json")
    assert json.loads(stopped.read_text())["status"] == "stopped"
    assert not list((tmp_path / "outputs").rglob("*.tmp"))
    summary, folder = do(*longer)
    assert same(weights(folder, "student"), weights(whole, "student"))
    ours, theirs = (
        [
            {k: v for k, v in line.items() if k not in ("seconds", "images_per_second")}
            for line in read_json_lines(f / "metrics.jsonl")
        ]
        for f in (folder, whole)
    )
    assert ours == theirs
    assert summary["stages"][0]["reused"]


def test_a_stage_that_left_out_updates_is_not_given_to_a_run_that_allows_none(do, monkeypatch):
    do()
    found = reuse.finished
    monkeypatch.setattr(reuse, "finished", lambda *given: {**found(*given), "skipped": 3})
    with pytest.raises(NumericError, match=r"skipped 3 non-finite updates, this run allows 0"):
        do()
    with pytest.raises(NumericError, match="this run allows 2"):
        do("train.on_nonfinite=skip", "train.max_skipped=2")
    summary, _ = do("train.on_nonfinite=skip")
    assert all(stage["reused"] for stage in summary["stages"])


PRESETS = sorted(path.stem for path in (config_folder() / "loss").glob("*.yaml"))
CNNS = ("teacher=convnet", "teacher.width=8", "student=convnet", "student.width=4")


@pytest.mark.parametrize("preset", [p for p in PRESETS if p != "none"])
def test_every_preset_trains_a_smaller_cnn_and_logs_its_terms(do, preset):
    warm = "loss.dkd.warmup_epochs=0"  # while the term warms up its value rises
    _, folder = do(f"loss={preset}", *CNNS, "chain.control=false", "train.epochs=3", warm)
    lines = [x for x in read_json_lines(folder / "metrics.jsonl") if x["role"] == "student"]
    assert lines[-1]["loss"] < lines[0]["loss"]
    shares = [term["gradient_share"] for term in lines[-1]["terms"].values()]
    assert sum(shares) == pytest.approx(1)


def test_presets_compose(do):
    _, folder = do("loss=[kd,hint,rkd]", *CNNS, "chain.control=false")
    terms = read_json_lines(folder / "metrics.jsonl")[-1]["terms"]
    assert set(terms) == {"kl", "cross_entropy", "hint", "rkd_distance", "rkd_angle"}


def test_projections_are_no_part_of_the_exported_student(do):
    _, folder = do("loss=[kd,hint]", *CNNS, "chain.control=false")
    control = do("loss=none", *CNNS[2:], root="plain")[1]
    hinted, plain = (weights(f, "student") for f in (folder, control))
    assert {k: v.shape for k, v in hinted.items()} == {k: v.shape for k, v in plain.items()}


def test_a_closed_form_projection_is_refitted_and_its_fit_is_logged(do):
    _, folder = do(
        "loss=[kd,hint]", "loss.hint.projection=closed_form", *CNNS, "chain.control=false"
    )
    lines = [x for x in read_json_lines(folder / "metrics.jsonl") if x["role"] == "student"]
    first, second = (line["terms"]["hint"]["unexplained"] for line in lines[:2])
    assert 0 < first < 1
    assert 0 < second < 1
    assert first != second


def test_a_learned_temperature_moves(do):
    _, folder = do("temperature=learned", "temperature.warmup_epochs=1", "chain.control=false")
    student = [x for x in read_json_lines(folder / "metrics.jsonl") if x["role"] == "student"]
    assert student[0]["T"] != student[1]["T"]
    assert all(1 < line["T"] < 21 for line in student)


def test_several_teachers_are_trained_and_averaged(do):
    summary, _ = do("teacher.ensemble=[mlp]", "teacher.ensemble_weights=[3,1]")
    roles = [(stage["role"], stage["arch"]) for stage in summary["stages"]]
    assert roles == [
        *(("teacher", "convnet"), ("teacher", "mlp"), ("student", "mlp"), ("control", "mlp"))
    ]


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ("[layr1]", r"layr1.*layer1"),
        ("[layer1.0:layer9]", r"layer9"),
        ("[layer1:layer1:layer1]", r"layer1:layer1:layer1"),
        ("[layer1:penultimate]", r"cannot be compared"),
    ],
)
def test_a_layer_that_cannot_be_hooked_is_refused_before_anything_is_written(
    do, tmp_path, layers, told
):
    with pytest.raises(ConfigError, match=told):
        do("loss=hint", f"loss.hint.layers={layers}", *CNNS)
    assert not (tmp_path / "outputs").exists()


def test_hints_between_what_goes_into_the_classifiers(do):
    _, folder = do("loss=hint", "loss.hint.layers=[penultimate]", *CNNS, "chain.control=false")
    assert "hint" in read_json_lines(folder / "metrics.jsonl")[-1]["terms"]


def test_a_seed_may_be_as_long_as_a_date(do):
    summary, _ = do("train.seed=20241231235959", "chain.control=false", "train.epochs=1")
    assert summary["status"] == "done"


def test_a_bug_of_ours_is_recorded_as_a_failure(do, tmp_path, monkeypatch):
    def broken(*given):
        raise RuntimeError("a bug")

    monkeypatch.setattr("kdrun.runs.executor.run_stage", broken)
    with pytest.raises(RuntimeError):
        do()
    (status,) = (tmp_path / "outputs").glob("digits/*/*/status.json")
    assert json.loads(status.read_text())["error"] == {"code": 70, "message": "a bug"}


def test_memory_that_runs_out_is_told_with_a_remedy(do, monkeypatch):
    def full(*given):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("kdrun.runs.executor.run_stage", full)
    with pytest.raises(NumericError, match=r"out of memory\. Try a smaller train.batch_size"):
        do()


def test_an_operation_without_deterministic_repeats_is_told_by_the_setting(do, monkeypatch):
    def refused(*given):
        raise RuntimeError("adaptive_backward does not have a deterministic implementation, but")

    monkeypatch.setattr("kdrun.runs.executor.run_stage", refused)
    with pytest.raises(ConfigError, match=r"train.deterministic: .* adaptive_backward does not"):
        do()


def test_a_stage_s_own_file_is_the_stage_and_a_bare_copy_another_one(do, tmp_path):
    _, first = do("loss=none", "student=convnet", "student.width=8", folder="first")
    (stage,) = first.glob("stages/*-student-*")
    shutil.copy(stage / "best.safetensors", tmp_path / "bare.safetensors")
    given = (first, stage / "best.safetensors", tmp_path / "bare.safetensors")
    runs = [do(f"teacher.weights={path}", "dataset.limit=600")[0] for path in given]
    hashes = [one["stages"][0]["hash"] for one in runs]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_key_of_given_weights_is_part_of_the_stage(do, tmp_path, capsys):
    models = [
        build_model("convnet", num_classes=10, in_channels=1, image_size=8, width=4)
        for _ in range(2)
    ]
    file = tmp_path / "two.pt"
    torch.save({"model": models[0].state_dict(), "model_ema": models[1].state_dict()}, file)
    given = ("teacher=convnet", "teacher.width=4", f"teacher.weights={file}")
    plain, _ = do(*given, "teacher.min_accuracy=0")
    assert "teacher convnet: " in (out := capsys.readouterr().out)
    assert "'model' are used; 'model_ema' fits as well" in out
    keyed, folder = do(*given, "teacher.min_accuracy=0", "teacher.weights_key=model_ema")
    assert plain["stages"][0]["hash"] != keyed["stages"][0]["hash"]
    (stage,) = folder.glob("stages/*-teacher-*")
    kept = load_file(stage / "best.safetensors")
    assert all(torch.equal(kept[k], v) for k, v in models[1].state_dict().items())


@pytest.mark.slow
def test_a_compiled_student_is_trained_on_terms_inside_it(do):
    _, folder = do(
        *("loss=[kd,hint,rkd]", "teacher=resnet8", "student=resnet8", "teacher.width=null"),
        *("student.width=null", "train.compile=true", "chain.control=false"),
        *("train.epochs=1", "teacher.min_accuracy=0"),
    )
    terms = read_json_lines(folder / "metrics.jsonl")[-1]["terms"]
    assert sum(term["gradient_share"] for term in terms.values()) == pytest.approx(1)
