"""T chosen from a teacher: what it is chosen from, the guards, and its place in a run."""

import math
from dataclasses import replace

import pytest
import torch

from kdrun.analysis.temperature_evidence import GRID
from kdrun.analysis.temperature_guideline import auto_temperature
from kdrun.errors import ConfigError, Stopped
from kdrun.plan.build import build_plan
from kdrun.runs.finished_run import finished_jobs
from kdrun.runs.runner import run
from kdrun.runs.temperature_methods import PILOTS, choose
from kdrun.runs.temperature_selection import sampled_logits, uniform_warnings
from kdrun.store.files import read_sealed
from kdrun.training.initial_weights import resolve_weights
from tests.plan.test_identity import digest

QUICK = (
    *("analysis=off",),  # a page for each run would take longer than the runs
    *("teacher=convnet", "teacher.width=8", "student=mlp", "student.width=8", "train.epochs=2"),
    *("train.precision=fp32", "train.device=cpu", "train.batch_size=256", "dataset.limit=700"),
    *("teacher.min_accuracy=0", "chain.control=false", "temperature=auto"),
)
UNIFORM = torch.zeros(8, 4, dtype=torch.float64)
LABELS = torch.arange(8) % 4


def chosen(method="guideline", logits=UNIFORM, label_noise=0.0, label_smoothing=0.0, pilot=None):
    return choose(
        method,
        logits,
        LABELS,
        label_counts=[2, 2, 2, 2],
        label_noise=label_noise,
        label_smoothing=label_smoothing,
        pilot=pilot,
    )


def test_a_teacher_that_knows_nothing_gets_the_upper_end_of_the_guideline():
    choice = chosen()
    assert choice["u"] == pytest.approx(1)
    assert choice["teacher_entropy"] == pytest.approx(math.log(4))
    assert choice["T"] == choice["guideline"] == 8


def test_a_teacher_that_is_sure_gets_the_lower_end():
    sure = 60 * torch.eye(4, dtype=torch.float64)[LABELS]
    choice = chosen(logits=sure)
    assert (choice["T"], choice["train_accuracy"]) == (2, 1)


def test_the_formula_is_noted_always_and_used_on_request_clipped():
    half = torch.tensor([[1.0, 1.0, -99.0, -99.0]], dtype=torch.float64).repeat(8, 1)
    for method in ("guideline", "formula"):
        choice = chosen(method, logits=half)
        assert choice["formula"] == pytest.approx(math.sqrt(0.5))
    assert choice["T"] == 1


def test_noise_raises_T_unless_the_teacher_memorised_it():
    assert chosen(label_noise=0.2)["T"] == 20
    sure = 60 * torch.eye(4, dtype=torch.float64)[LABELS]
    memorised = chosen(logits=sure, label_noise=0.2)
    assert memorised["memorised"]
    assert memorised["T"] == 2
    assert "memorised the label noise" in memorised["warnings"][0]


def test_a_teacher_of_smoothed_labels_gets_a_low_T_and_a_warning():
    choice = chosen(label_smoothing=0.1)
    assert choice["T"] == 2
    assert "label smoothing" in choice["warnings"][0]


def test_dark_knowledge_decides_where_its_maximum_is_inside_the_grid():
    # Two images of a class name different second classes, faintly: softening shows it, then blurs.
    logits = torch.full((8, 4), -6.0, dtype=torch.float64)
    logits[torch.arange(8), LABELS] = 6.0
    logits[torch.arange(8), (LABELS + 1 + torch.arange(8) // 4) % 4] = 0.0
    choice = chosen("cmi", logits=logits)
    values = choice["dark_knowledge"]
    best = GRID[max(range(len(GRID)), key=lambda i: values[i])]
    assert GRID[0] < best < GRID[-1]
    assert choice["T"] == choice["interior_maximum"] == best


def test_without_an_interior_maximum_the_guideline_decides():
    choice = chosen("cmi")
    assert choice["interior_maximum"] is None
    assert choice["T"] == choice["guideline"]


def test_search_takes_the_pilot_of_the_best_validation():
    asked = []

    def pilot(T):
        asked.append(T)
        return {1: 0.5, 2: 0.7, 4: 0.7, 8: 0.6}[T]

    choice = chosen("search", pilot=pilot)
    assert asked == list(PILOTS)
    assert choice["T"] == 2
    assert [one["validation"] for one in choice["pilots"]] == [0.5, 0.7, 0.7, 0.6]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["loss=hard"], "teacher_argmax has no temperature to choose"),
        (["teacher.ensemble=[mlp]"], "needs a single teacher"),
        (
            ["temperature.method=search", "dataset.val_fraction=0"],
            "needs dataset.val_fraction above 0",
        ),
        (["temperature.method=gideline"], "did you mean 'guideline'"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(make_config, overrides, told):
    with pytest.raises(ConfigError, match=told):
        make_config("temperature=auto", *overrides)


@pytest.fixture
def do(make_config, tmp_path):
    count = iter(range(100))

    def do(*overrides):
        folder = tmp_path / f"run{next(count)}"
        config = make_config(*QUICK, f"output_root={tmp_path / 'outputs'}", *overrides)
        return run(config, folder, overrides), folder

    return do


@pytest.mark.parametrize("method", ["guideline", "formula", "cmi", "search"])
def test_the_chosen_T_is_the_stage_of_a_run_that_names_it(do, method):
    summary, folder = do(f"temperature.method={method}")
    (choice,) = read_sealed(folder / "temperature.json")["choices"]
    assert choice["method"] == method
    assert read_sealed(folder / "plan.json")["stages"][1]["T"] == "auto"
    assert "temperature.json" in summary["files"]
    named, _ = do("temperature=constant", f"loss.T={choice['T']}")
    assert [stage["hash"] for stage in named["stages"]] == [s["hash"] for s in summary["stages"]]
    assert all(stage["reused"] for stage in named["stages"])


def test_each_stage_of_a_chain_has_a_T_of_its_own_teacher(do):
    summary, folder = do("chain=born_again", "chain.control=true")
    choices = read_sealed(folder / "temperature.json")["choices"]
    assert [(one["role"], one["step"]) for one in choices] == [
        *(("generation", 1), ("generation", 2), ("direct", 2)),
    ]
    hashes = [stage["hash"] for stage in summary["stages"]]
    assert [one["teacher"] for one in choices] == [hashes[0], hashes[1], hashes[0]]
    assert choices[0]["T"] == choices[2]["T"]
    assert choices[0]["T"] == round(auto_temperature(choices[0]["u"]), 2)


def test_a_run_whose_stages_have_chosen_one_after_the_other_opens_again(do):
    summary, folder = do("chain=born_again")
    assert len(read_sealed(folder / "temperature.json")["choices"]) > 1
    with finished_jobs(folder) as (stage_runs, _):
        assert [one.digest for one in stage_runs] == [stage["hash"] for stage in summary["stages"]]


class StopAtThird:
    """A signal that comes before the third batch."""

    def __init__(self):
        self.asked_for = 0

    def __bool__(self):
        self.asked_for += 1
        return self.asked_for == 3


def test_a_signal_stops_the_teacher_between_two_batches(do):
    _, folder = do("train.eval_batch_size=50")
    with finished_jobs(folder) as (stage_runs, contexts):
        context = replace(contexts[None], stop=StopAtThird())
        with pytest.raises(Stopped, match="stopped while teacher convnet was evaluated"):
            sampled_logits(stage_runs[0], context)
        assert context.stop.asked_for == 3


def test_before_the_choice_stages_of_other_methods_have_other_hashes(make_config):
    plans = [
        build_plan(make_config("temperature=auto", f"temperature.method={method}", "loss.T=3"))
        for method in ("guideline", "cmi")
    ]
    students = {digest(plan[1]) for plan in plans}
    assert len(students) == 2
    assert len({digest(plan[2]) for plan in plans}) == 1
    again = build_plan(make_config("temperature=auto", "loss.T=9"))[1]
    assert digest(again) in students


def test_a_given_teacher_is_known_to_be_smoothed_by_its_run_folder(do, tmp_path):
    _, smoothed = do(
        *("student=convnet", "student.width=8", "loss=none", "temperature=constant"),
        "loss.label_smoothing=0.1",
    )
    given = f"teacher.weights={smoothed}"
    _, folder = do(given)
    (choice,) = read_sealed(folder / "temperature.json")["choices"]
    assert (choice["label_smoothing"], choice["T"]) == (0.1, 2)
    assert "label smoothing" in choice["warnings"][0]
    _, folder = do(given, "teacher.label_smoothing=0")
    (stated,) = read_sealed(folder / "temperature.json")["choices"]
    assert (stated["label_smoothing"], stated["warnings"]) == (0, [])
    assert stated["T"] > 2


def test_a_teacher_of_another_split_is_said_to_know_the_validation_images(do, capsys):
    plain = ("student=convnet", "student.width=8", "loss=none", "temperature=constant")
    _, made = do(*plain)
    told = "so its validation accuracy may be too high"
    for seed in (0, 1):
        capsys.readouterr()
        do(f"teacher.weights={made}", f"train.seed={seed}", "temperature=constant")
        assert (told in capsys.readouterr().out) == (seed == 1)


@pytest.mark.parametrize(("weights", "known"), [("IMAGENET1K_V1", None), ("DEFAULT", 0.1)])
def test_published_weights_of_the_newer_recipe_are_known_to_be_smoothed(weights, known):
    source = resolve_weights(weights, arch="resnet50", library="kdrun")
    assert source.label_smoothing == known


def test_a_nearly_uniform_teacher_is_said_to_leave_little_whatever_the_temperature():
    (line,) = uniform_warnings("student mlp", 0.934)
    assert line.startswith("student mlp: the teacher is nearly uniform even at T=1 (entropy 93.4%")
    assert uniform_warnings("student mlp", 0.6) == []
