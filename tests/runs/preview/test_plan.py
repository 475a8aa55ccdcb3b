"""What `kdrun plan` tells beforehand, held against what runs then take."""

import pytest

from kdrun.catalog.datasets import ImageShape
from kdrun.errors import ConfigError
from kdrun.plan.build import build_plan
from kdrun.runs.prepare import make_context
from kdrun.runs.preview.estimates import (
    Speed,
    bytes_for_backward,
    disk_bytes,
    training_bytes,
    tried,
)
from kdrun.runs.preview.plan import show_plan
from kdrun.runs.runner import run
from kdrun.signals import StopRequest
from kdrun.training.stage_model import count_sizes

QUICK = (
    *("analysis=off",),  # a page for each run would take longer than the runs
    *("teacher=convnet", "teacher.width=8", "student=convnet", "student.width=4"),
    *("train.precision=fp32", "train.device=cpu", "dataset.limit=700", "teacher.min_accuracy=0"),
)


@pytest.fixture
def shown(make_config, capsys):
    def shown(*overrides, probe=False):
        show_plan(make_config(*overrides), probe)
        return capsys.readouterr().out

    return shown


def test_a_planned_chain_shows_its_tree_the_choice_and_the_rejected(shown):
    words = ("dataset=imagenet", "teacher=resnet152", "student=shufflenet_v2_x0_5", "chain=auto")
    out = shown(*words, "temperature=auto", "seeds=[0,1,2]")
    for part in (
        *("60.2 M", "assistant resnet18", "5.15x", "8.55x", "each for seeds 0, 1, 2"),
        *("└── direct shufflenet_v2_x0_5", "└── student shufflenet_v2_x0_5"),
        *("3 ideal steps", "chosen", "none", "kl(T=auto)", "method=guideline", "15 stages"),
    ):
        assert part in out, part


def test_an_assistant_larger_than_its_teacher_is_warned_of(shown):
    words = ("chain=assistants", "teacher=resnet20", "student=resnet8")
    warned = "assistant resnet32 is larger than its teacher resnet20"
    assert warned in shown(*words, "chain.assistants=[resnet32]", "seeds=[0,1]")
    assert "is larger than" not in shown(*words, "chain.assistants=[resnet14]")


def test_the_moving_temperature_is_told(shown):
    out = shown("temperature=linear", "loss.T=8")
    aim = "student mlp: 0.9 kl(T=8) + 0.1 cross-entropy, T from 8 to 1, linear\n"
    assert aim in out
    assert "\nteacher resnet20, control mlp: 1 cross-entropy\n" in out


def test_a_long_mixture_leaves_the_table_whole_on_a_narrow_terminal(shown, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    out = shown("loss=[kd,hint,attention,rkd]", "teacher=resnet20", "student=resnet8")
    assert "…" not in out
    assert "+ 25 rkd distance + 50 rkd angle, T constant\n" in out


def test_no_temperature_is_told_where_no_term_reads_one(shown):
    out = shown("loss=hint", "teacher=resnet20", "student=resnet8")
    assert "\nstudent resnet8: 1 cross-entropy + 10 hint\n" in out


def test_layers_that_cannot_be_compared_are_refused_as_a_run_would(shown):
    with pytest.raises(ConfigError, match="mlp has no stages that can be found"):
        shown("loss=hint", "student=mlp")


def test_a_shallow_mimic_and_a_pair_of_one_size_are_told_of(shown):
    assert "it would have 16^" in shown("loss=mimic", "student=mlp")
    assert "little to compress" in shown("student=resnet14")


def test_generations_are_a_path_in_the_tree(shown):
    lines = shown("chain=born_again", "student=resnet8").splitlines()
    depth = [line.index("generation") for line in lines if "── generation" in line]
    assert depth == sorted(set(depth))
    assert len(depth) == 3


def test_what_is_kept_for_the_backward_pass_grows_with_the_area_of_the_image(make_config):
    stage = build_plan(make_config("student=resnet8", "loss=none"))[0]
    small, large = (bytes_for_backward(stage, ImageShape(10, 3, side)) for side in (32, 64))
    assert large / small == pytest.approx(4, rel=0.01)


def test_an_mlp_keeps_its_input_and_hidden_units(make_config):
    words = ("student=mlp", "student.width=32", "student.depth=1", "loss=none")
    stage = build_plan(make_config(*words))[0]
    assert bytes_for_backward(stage, ImageShape(10, 1, 8)) == 4 * (64 + 32)


def test_memory_counts_weights_gradients_optimizer_teachers_and_activations(make_config):
    shape = ImageShape(10, 1, 8)
    for words, copies in [((), 3), (("train=adamw",), 4), (("train=adamw", "train.ema=0.9"), 5)]:
        stage = build_plan(make_config("student=resnet8", "loss=none", *words))[0]
        batch = stage.train.batch_size * bytes_for_backward(stage, shape)
        assert training_bytes(stage, shape, 1000, [500, 20]) == 4 * (copies * 1000 + 520) + batch


@pytest.mark.parametrize("words", [(), ("train=adamw", "train.ema=0.9")], ids=str)
def test_a_stage_takes_no_more_room_than_was_said_and_no_less_than_half(
    make_config, tmp_path, words
):
    given = (*QUICK, "student.width=32", "train.epochs=2", "loss=none", *words)
    config = make_config(*given, f"output_root={tmp_path / 'outputs'}")
    (stage,) = build_plan(config)
    run(config, tmp_path / "run", [])
    (folder,) = (tmp_path / "outputs" / "store").glob("[0-9a-f]*")
    taken = sum(path.stat().st_size for path in folder.rglob("*.*") if path.is_file())
    said = disk_bytes(stage, count_sizes(stage, ImageShape(10, 1, 8))[0])
    assert said / 2 < taken < said


def test_a_trial_tells_the_order_of_magnitude_of_the_time(make_config, tmp_path, monkeypatch):
    monkeypatch.setattr("kdrun.runs.preview.estimates.TRIAL", 0.3)
    config = make_config(*QUICK, "loss=[kd,hint]", "train.epochs=4", "chain.control=false")
    stages = build_plan(config)
    context = make_context(config, StopRequest())
    speed = tried(stages[1], [stages[0]], context)
    assert speed.evaluation > 0
    assert speed.training > 0
    seconds = speed.seconds(stages[1], context)
    expected = 4 * (630 * speed.training + 70 * speed.evaluation) + 449 * speed.evaluation
    assert seconds == pytest.approx(expected)


def test_stages_that_take_other_updates_are_tried_apart(shown, monkeypatch):
    tries = []

    def trial(stage, teachers, context):
        tries.append(stage.train.batch_size)
        return Speed(0.0, 0.0)

    monkeypatch.setattr("kdrun.runs.preview.plan.tried", trial)
    chain = ("chain=born_again", "chain.generations=4", "chain.control=false")
    longer, other = "chain.stage.2.train.epochs=9", "chain.stage.3.train.batch_size=32"
    shown("student=resnet8", *chain, longer, other, probe=True)
    assert tries == [64, 64, 32]


def test_the_time_is_told_on_request_only(shown, monkeypatch):
    monkeypatch.setattr("kdrun.runs.preview.estimates.TRIAL", 0.1)
    assert "--probe estimates the time" in shown(*QUICK)
    assert "if no stage is in the store" in shown(*QUICK, probe=True)
