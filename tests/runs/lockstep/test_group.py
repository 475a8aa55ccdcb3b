"""Lockstep: students of several jobs on one pass, each with the very result of its own run."""

from contextlib import nullcontext

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from kdrun.data.batch import Batch
from kdrun.data.normalizer import Normalizer
from kdrun.errors import ConfigError, DataError, NumericError, OutputError, Stopped
from kdrun.models.build import build_model
from kdrun.runs.lockstep.group import outcome
from kdrun.runs.lockstep.round_robin import HeldStop, LockstepStage
from kdrun.runs.lockstep.shared_pass import SharedBatches
from kdrun.runs.resume import resume_run
from kdrun.runs.runner import run
from kdrun.signals import StopRequest
from kdrun.store.files import read_json_lines
from kdrun.store.stages import lock_if_free
from kdrun.teachers.teacher import IncompatibleStudents, Teacher
from kdrun.training import loop

QUICK = (
    "teacher=convnet",
    "teacher.width=8",
    "student=convnet",
    "student.width=4",
    "train.epochs=2",
    "train.precision=fp32",
    "train.device=cpu",
    "analysis=off",
    "cache.mode=off",
)


MEASURED = ("seconds", "images_per_second", "memory_mb", "lockstep")


@pytest.fixture
def do(make_config, tmp_path):
    """Run the first of several jobs, the others with it; returns the folder of the store."""

    def do(*jobs, root="together", lockstep=9, common=()):
        configs = [
            make_config(
                *QUICK,
                f"output_root={tmp_path / root}",
                f"train.lockstep={lockstep}",
                *common,
                *stage_run,
            )
            for stage_run in jobs
        ]
        siblings = [(f"job {n}", config) for n, config in enumerate(configs[1:], 1)]
        run(configs[0], tmp_path / root / "run", jobs[0], lambda: iter(siblings))
        return tmp_path / root / "store"

    return do


@pytest.fixture
def alone(make_config, tmp_path):
    """Run jobs one after another in a store of their own; returns its folder."""

    def alone(*jobs, common=()):
        for number, stage_run in enumerate(jobs):
            config = make_config(*QUICK, f"output_root={tmp_path / 'alone'}", *common, *stage_run)
            run(config, tmp_path / "alone" / f"run{number}", stage_run)
        return tmp_path / "alone" / "store"

    return alone


def stages(store):
    return {path.parent.name for path in store.glob("*/summary.json")}


def results(store, digest):
    """Weights and metrics of a stage, but for the clock's."""
    lines = read_json_lines(store / digest / "metrics.jsonl")
    told = [{k: v for k, v in line.items() if k not in MEASURED} for line in lines]
    return load_file(store / digest / "best.safetensors"), told


def assert_same(store, other, digests):
    for digest in digests:
        (weights, told), (expected, expected_told) = results(store, digest), results(other, digest)
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[key], expected[key]) for key in weights)
        assert told == expected_told


JOBS = (
    ["loss.T=2"],
    ["loss.T=8", "temperature=cosine"],
    ["loss=[kd,hint]"],
    ["loss=rkd"],
    ["student.width=6", "loss=dist"],
)


@pytest.mark.parametrize(
    "common", [(), ("cache.mode=auto",), ("train.accumulate=2", "train.mixup=0.4")]
)
def test_every_student_is_the_very_one_of_its_own_run(do, alone, common):
    together = do(*JOBS, common=common)
    apart = alone(*JOBS, common=common)
    found = stages(together)
    assert len(found) == 1 + len(JOBS) + 2  # teacher, students, the controls of two students
    assert found == stages(apart)
    assert_same(together, apart, found)


def test_the_teacher_is_asked_once_for_every_batch(do, monkeypatch):
    asked = []
    real = Teacher._outputs
    monkeypatch.setattr(Teacher, "_outputs", lambda self, x: asked.append(len(x)) or real(self, x))
    do(["loss.T=2"], ["loss.T=4"], ["loss=[kd,hint]"], common=("train.batch_size=128",))
    assert len(asked) == 2 * 10  # 1213 images in ten batches, two epochs


def test_only_so_many_go_along(do):
    assert len(stages(do(*JOBS[:3], lockstep=2))) == 4
    assert len(stages(do(*JOBS[:3], lockstep=1, root="one"))) == 3


def test_lines_of_stages_trained_side_by_side_tell_how_many(do):
    store = do(*JOBS[:3])
    told = {
        path.parent.name: [line.get("lockstep") for line in read_json_lines(path)]
        for path in store.glob("*/metrics.jsonl")
    }
    assert sorted(told.values(), key=str) == [[3, 3]] * 3 + [[None, None]] * 2


@pytest.mark.parametrize(
    ("what", "error"),
    [("plan_for", ValueError("a bug")), ("lock_if_free", OutputError("no room"))],
)
def test_what_another_jobs_stage_fails_with_stays_its_own(do, alone, monkeypatch, what, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(f"kdrun.runs.lockstep.members.{what}", fail)
    assert stages(do(["loss.T=2"], ["loss.T=8"])) == stages(alone(["loss.T=2"]))


@pytest.mark.parametrize(
    "other",
    [
        "train.batch_size=32",
        "train.seed=1",
        "train.mixup=0.3",
        "train.accumulate=2",
        "dataset.val_fraction=0.2",
        "teacher.width=12",
        "train.precision=bf16",
        "temperature=auto",
        "teacher.min_accuracy=0.999",  # which its own job is going to refuse
        "train.precision=fp16",  # which a CPU lacks
        "train.device=cuda:99",
        "train.threads=1",
        "loss.T=4",  # the very stage
    ],
)
def test_a_student_that_sees_other_batches_or_teachers_stays_for_its_own_job(do, other):
    assert len(stages(do(["loss.T=4"], [other]))) == 3


def test_a_stage_that_another_process_trains_is_left_to_it(do, tmp_path):
    digests = stages(do(["loss.T=4"], ["loss.T=2"]))
    first = stages(do(["loss.T=4"], root="first"))
    (digest,) = digests - first
    lock = lock_if_free(tmp_path / "again" / "store" / digest)
    assert lock is not None
    assert lock_if_free(tmp_path / "again" / "store" / digest) is None
    assert stages(do(["loss.T=4"], ["loss.T=2"], root="again")) == first
    lock.release()


def test_controls_of_different_students_go_together(do, alone):
    jobs = (["loss.T=2"], ["student.width=6"])
    together = do(*jobs)
    assert stages(together) == stages(alone(*jobs))
    assert_same(together, together.parent.parent / "alone" / "store", stages(together))


BREAKS = ["loss=logit_mse", "loss.weights.soft=1e6"]


def test_a_student_that_breaks_leaves_the_others_alone(do, alone, tmp_path, make_config):
    together = do(["loss.T=2"], BREAKS, ["loss.T=8"])
    assert len(stages(together)) == 4
    assert_same(together, alone(["loss.T=2"], ["loss.T=8"]), stages(together))
    log = (tmp_path / "together" / "run" / "run.log").read_text()
    assert "job 1's student convnet: failed in lockstep" in log
    assert "job 2: student convnet  epoch 2/2" in log
    config = make_config(*QUICK, f"output_root={tmp_path / 'together'}", *BREAKS)
    with pytest.raises(NumericError, match="student convnet"):
        run(config, tmp_path / "together" / "run1", BREAKS)


def test_the_leader_fails_only_when_the_others_are_done(do, alone, tmp_path):
    with pytest.raises(NumericError):
        do(BREAKS, ["loss.T=8"])
    together = tmp_path / "together" / "store"
    assert len(stages(together)) == 2
    assert_same(together, alone(["loss.T=8"]), stages(together))


@pytest.fixture
def stop_at(monkeypatch):
    """Let a signal come after so many updates of the run."""
    requests = []
    made, real = StopRequest.__init__, loop.apply_update
    monkeypatch.setattr(StopRequest, "__init__", lambda self: requests.append(self) or made(self))

    def stop_at(last):
        updates = []

        def stopping(training, recipe):
            real(training, recipe)
            updates.append(training.update)
            if len(updates) == last:
                requests[-1].signal = 15

        monkeypatch.setattr(loop, "apply_update", stopping)

    return stop_at


TEACHER = 2 * 19
"""Updates of the teacher, which come first."""


def test_all_stop_at_one_update_and_go_on_from_it(
    do, alone, tmp_path, stop_at, make_config, monkeypatch
):
    jobs = (["loss.T=2"], ["loss.T=8"], ["loss=[kd,hint]"])
    stop_at(TEACHER + 3 * 9 + 1)  # in the middle of a round
    with pytest.raises(Stopped):
        do(*jobs)
    together = tmp_path / "together" / "store"
    (teacher,) = stages(together)
    newest = {
        max(int(path.name.split("-")[1]) for path in folder.glob("checkpoints/update-*"))
        for folder in together.iterdir()
        if folder.is_dir() and folder.name != teacher
    }
    assert newest == {11}
    stop_at(None)
    monkeypatch.chdir(tmp_path)
    root = "output_root=together"  # another way to write it
    configs = [make_config(*QUICK, root, "train.lockstep=9", *stage_run) for stage_run in jobs[1:]]
    siblings = [(f"job {n}", config) for n, config in enumerate(configs, 1)]
    resume_run(tmp_path / "together" / "run", [], lambda: iter(siblings))
    log = (tmp_path / "together" / "run" / "run.log").read_text()
    assert log.count("in lockstep with job 1's student convnet, job 2's student convnet") == 2
    assert_same(together, alone(*jobs), stages(together))


def test_one_that_has_come_further_waits_for_the_others(
    do, alone, tmp_path, stop_at, make_config, monkeypatch
):
    config = make_config(*QUICK, f"output_root={tmp_path / 'together'}", "loss.T=8")
    stop_at(TEACHER + 25)  # in the middle of its second epoch
    with pytest.raises(Stopped):
        run(config, tmp_path / "together" / "before", [])
    stop_at(None)
    asked = []
    real = Teacher._outputs
    monkeypatch.setattr(Teacher, "_outputs", lambda self, x: asked.append(len(x)) or real(self, x))
    together = do(["loss.T=2"], ["loss.T=8"])
    assert len(asked) == 2 * 19  # no more than for the one that started anew
    assert_same(together, alone(["loss.T=8"], ["loss.T=2"]), stages(together))


@pytest.mark.slow
def test_students_of_image_files_share_what_is_decoded(do, alone, tmp_path):
    generator = torch.Generator().manual_seed(0)
    for split, images in (("train", 12), ("val", 4)):
        for label in range(3):
            folder = tmp_path / "data" / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(images):
                pixels = torch.randint(0, 80 * (label + 1), (20, 20, 3), generator=generator)
                Image.fromarray(pixels.byte().numpy()).save(folder / f"{number}.png")
    common = (
        *("dataset=imagefolder", f"dataset.root={tmp_path / 'data'}", "dataset.image_size=16"),
        *("train.batch_size=8", "train.workers=1", "teacher.min_accuracy=0"),
    )
    jobs = (["loss.T=2"], ["loss=hint", "loss.hint.projection=closed_form"], ["loss.T=8"])
    together = do(*jobs, common=common)
    assert_same(together, alone(*jobs, common=common), stages(together))


def test_a_stream_gives_every_reader_the_same_batches_and_keeps_few():
    made = [Batch(torch.tensor([n]), torch.tensor([n]), torch.tensor([n])) for n in range(20)]
    stream = SharedBatches(3, 5, iter(made), most=2)
    first, second = stream.read(5), stream.read(5)
    for batch in made:
        assert next(first) is batch
        assert next(second) is batch
        assert len(stream.kept) <= 2
    assert next(first, None) is None
    assert next(second, None) is None
    assert stream.has((3, 24))
    assert not stream.has((3, 22))
    assert not stream.has((4, 24))


def test_what_a_stream_fails_with_every_reader_gets():
    def source():
        yield Batch(torch.tensor([0]), torch.tensor([0]), torch.tensor([0]))
        raise DataError("cannot be decoded")

    stream = SharedBatches(0, 0, source(), most=4)
    for reader in (stream.read(0), stream.read(0), stream.read(0)):
        next(reader)
        with pytest.raises(DataError, match="cannot be decoded"):
            next(reader)


def test_a_latch_changes_between_rounds_only():
    request = StopRequest()
    latch = HeldStop(request)
    latch.held = bool(request)
    request.signal = 2
    assert not latch
    assert latch.asked
    latch.held = bool(request)
    assert latch
    latch.held = None
    request.signal = None
    assert not latch


def test_the_outcome_of_one_that_went_along_is_told():
    def turns(accuracy):
        yield 0, 0
        return {"accuracy": {"best_validation": accuracy}}

    def told(accuracy):
        member = LockstepStage("job 1's student mlp", turns(accuracy))
        member.step()
        assert member.position == (0, 0)
        member.step()
        assert member.position is None
        return outcome(member)

    assert told(0.5) == "job 1's student mlp: done, val 50.00%"
    assert told(None) == "job 1's student mlp: done"


def test_a_teacher_folded_otherwise_for_a_student_refuses_to_be_shared():
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    network = build_model("resnet8", num_classes=4, in_channels=3, image_size=16)
    normalizer = Normalizer((0.5,) * 3, (0.25,) * 3)
    teacher = Teacher("resnet8", "", network, normalizer, nullcontext, images)
    teacher.watch(hidden=["layer1"])
    teacher.watch(hidden=["layer2", "penultimate"])
    seen = teacher.outputs(normalizer(images))
    assert seen.hidden.keys() == {"layer1", "layer2", "penultimate"}
    with pytest.raises(IncompatibleStudents, match="resnet8"):
        teacher.watch(hidden=["layer1.0.conv1"])


def test_compiled_students_are_refused(make_config):
    with pytest.raises(ConfigError, match=r"train\.lockstep"):
        make_config("train.compile=true", "train.lockstep=2")
