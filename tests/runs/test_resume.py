"""Going on with a run in its own folder: to the same end, and only with what was saved."""

import json
import os
import shutil
import signal

import pytest
import torch
import yaml
from safetensors.torch import load_file

from kdrun.config.paths import config_folder
from kdrun.errors import ConfigError, DamagedError, DataError, OutputError, Stopped, WeightsError
from kdrun.runs.resume import raised_in, resume_run
from kdrun.runs.runner import run
from kdrun.store.files import (
    read_json,
    read_json_lines,
    read_sealed,
    write_json_lines,
    write_sealed,
)
from kdrun.training.checkpoint_writer import CheckpointWriter
from tests.report.sealing import seal_again

QUICK = (
    *("teacher=convnet", "teacher.width=8", "student=convnet", "student.width=4"),
    *("train.epochs=3", "train.precision=fp32", "train.device=cpu", "train.batch_size=256"),
    "analysis=off",
    *("teacher.min_accuracy=0", "dataset.limit=700", "chain.control=false"),
)
TIMES = ("seconds", "images_per_second", "memory_mb")


@pytest.fixture
def begin(make_config, tmp_path):
    """Begin a run in a store of its own; returns its folder."""

    def begin(*overrides, root="outputs"):
        folder = tmp_path / root / "run"
        config = make_config(*QUICK, f"output_root={tmp_path / root}", *overrides)
        run(config, folder, overrides)
        return folder

    return begin


def stopped(begin, stop_at, monkeypatch, updates, *overrides):
    stop_at(updates)
    with pytest.raises(Stopped, match=r"'kdrun resume .*' continues from there"):
        begin(*overrides)
    monkeypatch.undo()


def outcome(folder):
    """All that a run came to, without the times."""
    summary = read_sealed(folder / "summary.json")
    stages = [
        {k: v for k, v in stage.items() if k not in (*TIMES, "files")}
        for stage in summary["stages"]
    ]
    lines = [
        {k: v for k, v in line.items() if k not in TIMES}
        for line in read_json_lines(folder / "metrics.jsonl")
    ]
    return stages, lines


def weights(folder):
    return [
        load_file(stage / "best.safetensors") for stage in sorted((folder / "stages").iterdir())
    ]


def same(ours, theirs):
    assert outcome(ours) == outcome(theirs)
    for a, b in zip(weights(ours), weights(theirs), strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


PRESETS = sorted(path.stem for path in (config_folder() / "loss").glob("*.yaml"))
SCHEDULES = sorted(path.stem for path in (config_folder() / "temperature").glob("*.yaml"))
VARIANTS = [
    *(f"loss={preset}" for preset in PRESETS if preset not in ("none", "kd")),
    *(f"temperature={schedule}" for schedule in SCHEDULES if schedule != "auto"),
    *("loss=[kd,hint,rkd]", "train=adamw", "train.ema=0.9", "train.mixup=0.3"),
    *("train.cutmix=0.5", "train.accumulate=2", "train.grad_clip=0.5", "train.on_nonfinite=skip"),
    *("train.precision=bf16", "dataset.val_fraction=0", "train.schedule=step"),
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_stopped_inside_an_epoch_ends_as_if_never_stopped(
    begin, stop_at, monkeypatch, tmp_path, variant
):
    closed = ("loss.hint.projection=closed_form",) if variant == "loss=hint" else ()
    whole = begin(variant, *closed, root="whole")
    # Three updates an epoch (two with accumulation): the teacher's nine, then inside the student.
    per_epoch = 2 if "accumulate" in variant else 3
    stopped(begin, stop_at, monkeypatch, 4 * per_epoch + 1, variant, *closed)
    folder = tmp_path / "outputs" / "run"
    resume_run(folder, [])
    same(folder, whole)


CHAIN = (
    *("chain=assistants", "chain.assistants=[mlp]", "chain.control=true"),
    *("chain.stage.1.loss.T=2", "chain.stage.2.train.epochs=2"),
)
BORN_AGAIN = ("chain=born_again", "chain.control=true", "chain.ensemble_control=true")
LONG = [
    *((CHAIN, updates) for updates in (7, 13, 22, 40)),
    *((BORN_AGAIN, updates) for updates in (11, 29, 44)),
    ((*BORN_AGAIN, "chain.stop_early=true", "train.lr=1e-9"), 22),
    (("seeds=[0,1]",), 5),
    (("seeds=[0,1]",), 32),
    *((("temperature=auto", "temperature.method=search"), updates) for updates in (4, 11, 25)),
    ((*BORN_AGAIN, "temperature=auto", "chain.stop_early=true"), 22),
]


@pytest.mark.parametrize(("words", "updates"), LONG, ids=str)
def test_a_chain_stopped_in_any_stage_ends_as_if_never_stopped(
    begin, stop_at, monkeypatch, tmp_path, words, updates
):
    whole = begin(*words, root="whole")
    stopped(begin, stop_at, monkeypatch, updates, *words)
    folder = tmp_path / "outputs" / "run"
    resume_run(folder, [])
    same(folder, whole)
    ours, theirs = (read_sealed(f / "summary.json") for f in (folder, whole))
    assert ours.get("chain") == theirs.get("chain")
    assert ours.get("born_again") == theirs.get("born_again")


def test_the_epochs_of_a_chain_cannot_be_raised(begin):
    with pytest.raises(ConfigError, match=r"train\.epochs: cannot be raised for a chain"):
        resume_run(begin(*CHAIN), ["train.epochs=5"])


def test_a_run_stopped_twice_in_its_teacher_ends_the_same(begin, stop_at, monkeypatch, tmp_path):
    whole = begin(root="whole")
    stopped(begin, stop_at, monkeypatch, 2)
    folder = tmp_path / "outputs" / "run"
    stop_at(3)
    with pytest.raises(Stopped):
        resume_run(folder, [])
    monkeypatch.undo()
    resume_run(folder, [])
    same(folder, whole)
    assert [stage["reused"] for stage in read_sealed(folder / "summary.json")["stages"]] == [
        False,
        False,
    ]


def test_a_finished_run_is_shown_again_and_left_as_it_is(begin, capsys):
    folder = begin()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json*")}
    resume_run(folder, [])
    assert "was already finished" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.json*")} == before


def test_a_run_that_was_killed_at_its_very_end_is_closed(begin):
    folder = begin("analysis=basic")
    status, page = folder / "status.json", folder / "report.html"
    written = read_json(status)
    status.write_text(json.dumps(written | {"status": "running"}))
    page.unlink()
    resume_run(folder, [])
    assert read_json(status) == written | {"pid": os.getpid()}
    assert page.exists()


def test_what_does_not_change_the_result_may_change(begin, stop_at, monkeypatch, tmp_path):
    whole = begin(root="whole")
    stopped(begin, stop_at, monkeypatch, 10)
    folder = tmp_path / "outputs" / "run"
    resume_run(folder, ["train.workers=0", "train.checkpoint_every=1steps", "train.device=cpu"])
    same(folder, whole)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("loss.T=2", r"loss\.T: would change the result"),
        ("student=resnet8", r"unknown key 'student'|student: "),
        ("train.epochs=1", r"train\.epochs=1: may only be raised, from 3"),
        ("train.epochs=many", r"train\.epochs"),
        ("train.workrs=1", r"did you mean 'train.workers'"),
        ("train.device=cuda:9", r"not available on this machine"),
        ("--config-dir", "--config-dir: is not a setting"),
    ],
)
def test_an_override_that_cannot_be_followed_is_refused(begin, override, told):
    folder = begin()
    before = sorted(folder.rglob("*"))
    (folder / "summary.json").unlink()
    with pytest.raises(ConfigError, match=told):
        resume_run(folder, [override])
    assert set(before) - set(folder.rglob("*")) == {folder / "summary.json"}


def test_raised_epochs_go_on_from_the_last_state_and_leave_the_old_stages(begin):
    folder = begin("chain.control=true")
    old = read_sealed(folder / "summary.json")["stages"]
    summary = resume_run(folder, ["train.epochs=5"])
    teacher, student, control = summary["stages"]
    assert teacher["hash"] == old[0]["hash"]  # a finished teacher stays
    assert [student["epochs"], control["epochs"]] == [5, 5]
    assert student["hash"] != old[1]["hash"]
    lines = [x for x in read_json_lines(folder / "metrics.jsonl") if x["role"] == "student"]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    identity = read_sealed(folder / "plan.json")["stages"][1]["identity"]
    assert identity["origin"] == [old[1]["hash"], 9]
    again = resume_run(folder, [])
    assert again["stages"] == summary["stages"]


def test_a_run_copied_with_its_stages_is_not_trained_on_and_stays_whole(begin, tmp_path):
    folder, copy = begin("train.epochs=1"), tmp_path / "outputs" / "copy"
    shutil.copytree(folder, copy, symlinks=False)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="00-teacher-convnet: is a copy, not a link to the store"):
        resume_run(copy, ["train.epochs=2"])
    with pytest.raises(OutputError, match="is a copy"):  # before a job of a sweep is begun
        raised_in(copy, {"train.epochs": 2})
    after = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    after.pop(copy / ".lock", None)
    before.pop(copy / ".lock", None)
    assert after == before
    assert resume_run(copy, [])["stages"] == read_sealed(folder / "summary.json")["stages"]


def test_a_log_that_is_a_file_elsewhere_too_is_refused_before_anything_is_removed(begin, tmp_path):
    folder = begin("train.epochs=1")
    (tmp_path / "diary.txt").write_text("mine")
    (folder / "run.log").unlink()
    os.link(tmp_path / "diary.txt", folder / "run.log")
    with pytest.raises(OutputError, match=r"run\.log: is a hard link"):
        resume_run(folder, ["train.epochs=2"])
    assert (tmp_path / "diary.txt").read_text() == "mine"
    assert (folder / "summary.json").exists()


def test_raised_epochs_keep_the_chosen_temperature(begin):
    folder = begin("temperature=auto")
    first = read_sealed(folder / "temperature.json")
    old = read_sealed(folder / "summary.json")["stages"]
    summary = resume_run(folder, ["train.epochs=5"])
    assert read_sealed(folder / "temperature.json") == first
    identity = read_sealed(folder / "plan.json")["stages"][1]["identity"]
    assert identity["loss"]["T"] == first["choices"][0]["T"]
    assert identity["origin"] == [old[1]["hash"], 9]
    assert resume_run(folder, [])["stages"] == summary["stages"]


def test_a_chosen_temperature_that_was_changed_is_noticed(begin, stop_at, monkeypatch, tmp_path):
    folder = interrupted(begin, stop_at, monkeypatch, tmp_path, "temperature=auto")
    path = folder / "temperature.json"
    path.write_text(path.read_text().replace('"T": ', '"T": 1'))
    with pytest.raises(DamagedError, match=r"temperature\.json"):
        resume_run(folder, [])


def test_raised_epochs_can_be_interrupted_too(begin, stop_at, monkeypatch):
    whole = begin(root="whole")
    resume_run(whole, ["train.epochs=5"])
    folder = begin()
    stop_at(2)
    with pytest.raises(Stopped):
        resume_run(folder, ["train.epochs=5"])
    monkeypatch.undo()
    resume_run(folder, [])
    same(folder, whole)


def test_a_moved_output_folder_goes_on_where_it_is(begin, stop_at, monkeypatch, tmp_path):
    whole = begin(root="whole")
    stopped(begin, stop_at, monkeypatch, 11)
    (tmp_path / "outputs").rename(tmp_path / "moved")
    resume_run(tmp_path / "moved" / "run", [])
    same(tmp_path / "moved" / "run", whole)
    assert not (tmp_path / "outputs").exists()


def interrupted(begin, stop_at, monkeypatch, tmp_path, *overrides):
    stopped(begin, stop_at, monkeypatch, 10, *overrides)
    return tmp_path / "outputs" / "run"


def test_a_changed_teacher_file_is_noticed(begin, stop_at, monkeypatch, tmp_path):
    first = begin("loss=none", "student.width=8", root="first")
    (stage,) = (first / "stages").iterdir()
    file = tmp_path / "teacher.safetensors"
    file.write_bytes((stage / "best.safetensors").read_bytes())
    given = (f"teacher.weights={file}",)
    stop_at(2)
    with pytest.raises(Stopped):
        begin(*given)
    monkeypatch.undo()
    state = load_file(file)
    key = next(iter(state))
    state[key] = state[key] + 1
    from safetensors.torch import save_file

    save_file(state, file)
    with pytest.raises(WeightsError, match=r"teacher.safetensors: the weights changed since"):
        resume_run(tmp_path / "outputs" / "run", [])


def test_changed_data_are_noticed(begin, stop_at, monkeypatch, tmp_path):
    folder = interrupted(begin, stop_at, monkeypatch, tmp_path)
    plan = read_sealed(folder / "plan.json")
    for stage in plan["stages"]:
        stage["identity"]["data"] = "other"
        stage["hash"] = "0" * 16
    write_sealed(folder / "plan.json", plan)
    with pytest.raises(DataError, match="images or labels changed since the run began"):
        resume_run(folder, [])


def test_an_edited_config_is_noticed(begin, stop_at, monkeypatch, tmp_path):
    folder = interrupted(begin, stop_at, monkeypatch, tmp_path)
    content = yaml.safe_load((folder / "config.yaml").read_text())
    content["train"]["lr"] = 0.5
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"train\.lr changed since the run began"):
        resume_run(folder, [])


@pytest.mark.parametrize(
    "content",
    [
        *("", "[1, 2]", "a: [", "\x00", "train: 3", "dataset: {name: 2001-01-01}"),
        "!!python/object/apply:os.system ['touch ran']",
        "student: {arch: '${oc.env:HOME}'}",
        "_target_: os.system",
    ],
)
def test_a_strangers_config_is_refused_in_one_line(begin, stop_at, monkeypatch, tmp_path, content):
    folder = interrupted(begin, stop_at, monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    (folder / "config.yaml").write_text(content)
    with pytest.raises((ConfigError, DamagedError)):
        resume_run(folder, [])
    assert not (tmp_path / "ran").exists()


def test_a_link_among_the_files_is_refused(begin, stop_at, monkeypatch, tmp_path):
    folder = interrupted(begin, stop_at, monkeypatch, tmp_path)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (folder / "run.log").unlink()
    (folder / "run.log").symlink_to(victim)
    with pytest.raises(OutputError, match=r"run\.log: is a link"):
        resume_run(folder, [])
    assert victim.read_text() == "mine"


def test_an_absolute_output_root_of_a_strangers_run_must_be_named(
    begin, stop_at, monkeypatch, tmp_path
):
    folder = interrupted(begin, stop_at, monkeypatch, tmp_path)
    alone = tmp_path / "alone" / "run"
    alone.parent.mkdir()
    folder.rename(alone)
    for link in (alone / "stages").iterdir():
        link.unlink()
    with pytest.raises(ConfigError, match=r"add output_root="):
        resume_run(alone, [])
    resume_run(alone, [f"output_root={tmp_path / 'outputs'}"])


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(ConfigError, match="is not the folder of a run or a sweep"):
        resume_run(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(begin, monkeypatch, tmp_path):
    whole = begin(root="whole")
    real, written = CheckpointWriter._write, []

    def full(saver, state):
        written.append(state["update"])
        if len(written) > 3:
            raise OutputError("cannot write: No space left on device")
        real(saver, state)

    monkeypatch.setattr(CheckpointWriter, "_write", full)
    with pytest.raises(OutputError, match="No space left"):
        begin("train.checkpoint_every=1steps")
    monkeypatch.undo()
    folder = tmp_path / "outputs" / "run"
    resume_run(folder, [])
    same(folder, whole)


def stop_when_evaluated(monkeypatch, times):
    """Send this process SIGINT when its models are evaluated for the `times`-th time."""
    import kdrun.training.evaluate

    count, real = [0], kdrun.training.evaluate.evaluate

    def evaluated(predict, batches, device):
        count[0] += 1
        if count[0] == times:
            os.kill(os.getpid(), signal.SIGINT)
        return real(predict, batches, device)

    monkeypatch.setattr(kdrun.training.evaluate, "evaluate", evaluated)


@pytest.mark.parametrize("times", [2, 4, 6, 8])
def test_a_run_stopped_while_it_evaluates_ends_as_if_never_stopped(
    begin, monkeypatch, tmp_path, times
):
    whole = begin(root="whole")
    stop_when_evaluated(monkeypatch, times)
    with pytest.raises(Stopped):
        begin()
    monkeypatch.undo()
    folder = tmp_path / "outputs" / "run"
    resume_run(folder, [])
    same(folder, whole)


def test_workers_that_the_signal_ends_too_do_not_make_it_a_failure(begin, monkeypatch, tmp_path):
    from kdrun.data.memory_split import MemorySplit

    whole = begin(root="whole")
    real, count = MemorySplit.train_batches, [0]

    def lost(split, *given, **options):
        for batch in real(split, *given, **options):
            count[0] += 1
            if count[0] == 11:
                os.kill(os.getpid(), signal.SIGTERM)
                raise DataError("a worker was lost")
            yield batch

    monkeypatch.setattr(MemorySplit, "train_batches", lost)
    with pytest.raises(Stopped):
        begin()
    monkeypatch.undo()
    folder = tmp_path / "outputs" / "run"
    resume_run(folder, [])
    same(folder, whole)


@pytest.mark.parametrize("name", ["metrics.jsonl", "stages/01-student-convnet/best.safetensors"])
def test_a_finished_run_with_a_changed_file_is_not_shown_as_if_whole(begin, name):
    folder = begin()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-9] + b"00000000" + content[-1:])
    with pytest.raises(DamagedError, match=r"is damaged.*remove .*summary\.json"):
        resume_run(folder, [])
    (folder / "summary.json").unlink()
    resume_run(folder, [])
    found = (folder / name).read_bytes()
    assert found == content


@pytest.mark.parametrize("nonsense", [{"terms": [1]}, {"epoch": 7}, {"validation_accuracy": None}])
def test_a_finished_run_with_nonsense_in_sealed_metrics_is_not_shown(begin, nonsense):
    folder = begin()
    lines = read_json_lines(folder / "metrics.jsonl")
    (folder / "metrics.jsonl").unlink()
    write_json_lines(folder / "metrics.jsonl", [*lines[:-1], lines[-1] | nonsense])
    seal_again(folder)
    with pytest.raises(DamagedError, match=r"metrics\.jsonl"):
        resume_run(folder, [])


def test_a_run_computes_with_the_threads_it_is_given_and_goes_on_with_them(
    begin, stop_at, monkeypatch, tmp_path
):
    used = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    stop_at(4)
    with pytest.raises(Stopped):
        begin("train.threads=1")
    resume_run(tmp_path / "outputs" / "run", [])
    resume_run(tmp_path / "outputs" / "run", ["train.threads=3", "train.epochs=4"])
    with pytest.raises(ConfigError, match=r"train\.threads=4: this machine has 3 cores"):
        resume_run(tmp_path / "outputs" / "run", ["train.threads=4", "train.epochs=5"])
    assert [number for number in used if number] == [1, 1, 1, 3, 3]
