"""Whole chains on the digits: what their stages share, cost, and come to."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from kdrun.evaluation import run_predictions
from kdrun.report.findings import verdict
from kdrun.runs.resume import resume_run
from kdrun.runs.runner import run
from kdrun.store.files import read_json_lines, read_sealed

QUICK = (
    *("analysis=off",),  # a page for each run would take longer than the runs
    *("teacher=convnet", "teacher.width=8", "student=convnet", "student.width=4"),
    *("train.epochs=2", "train.precision=fp32", "train.device=cpu", "train.batch_size=256"),
    *("teacher.min_accuracy=0", "dataset.limit=700"),
)
CHAIN = ("chain=assistants", "chain.assistants=[mlp]")
BORN_AGAIN = ("chain=born_again", "chain.ensemble_control=true")


@pytest.fixture
def do(make_config, tmp_path):
    """Run with the overrides in one store; returns the summary and the folder."""
    count = iter(range(100))

    def do(*overrides):
        folder = tmp_path / f"run{next(count)}"
        config = make_config(*QUICK, f"output_root={tmp_path / 'outputs'}", *overrides)
        return run(config, folder, overrides), folder

    return do


def roles(summary):
    return [stage["role"] for stage in summary["stages"]]


def test_a_chain_trains_each_model_and_both_controls_for_as_long(do):
    summary, folder = do(*CHAIN, "chain.stage.1.train.epochs=3")
    assert roles(summary) == ["teacher", "assistant", "student", "direct", "control"]
    assert [stage["epochs"] for stage in summary["stages"]] == [2, 3, 2, 5, 5]
    assert read_sealed(folder / "summary.json") == summary
    lines = read_json_lines(folder / "metrics.jsonl")
    assert [line["role"] for line in lines].count("direct") == 5


def test_the_way_to_an_assistant_is_trained_once_for_all_chains_with_it(do):
    do(*CHAIN)
    summary, _ = do(*CHAIN, "chain.stage.2.loss.T=2")
    reused = {stage["role"]: stage["reused"] for stage in summary["stages"]}
    assert reused == {
        **{"teacher": True, "assistant": True, "control": True},
        **{"student": False, "direct": False},
    }


def test_the_steps_of_a_chain_add_up_to_the_whole_way_and_to_the_accuracies(do):
    summary, _ = do(*CHAIN)
    (chain,) = summary["chain"]
    models = summary["stages"][:3]
    for split, accuracy in (("validation", "best_validation"), ("test", "test_at_best_validation")):
        steps = [step[split] for step in chain["steps"]]
        for name in ("loss", "error"):
            total = chain["total"][split][f"{name}_difference"]
            parts = [step[f"{name}_difference"] for step in steps]
            assert sum(parts) == pytest.approx(total, abs=1e-9)
            assert steps[-1][f"cumulative_{name}"] == pytest.approx(total, abs=1e-9)
        errors = [1 - model["accuracy"][accuracy] for model in models]
        differences = [student - teacher for teacher, student in pairwise(errors)]
        assert [step["error_difference"] for step in steps] == pytest.approx(differences, abs=1e-6)
        for step in steps:
            assert step["pinsker"] == pytest.approx(math.sqrt(step["kl"] / 2))
            assert 0 <= step["agreement"] <= 1
    assert [step["parameters"] for step in chain["steps"]] == [m["parameters"] for m in models[1:]]


def test_each_model_is_asked_once_for_both_the_chain_and_the_analysis(do, monkeypatch):
    asked = []
    predict_splits = run_predictions.predict_splits

    def counted(stage_run, context, splits, sample):
        asked.append((stage_run.stage.role, tuple(splits)))
        return predict_splits(stage_run, context, splits, sample)

    monkeypatch.setattr(run_predictions, "predict_splits", counted)
    measured, folder = do(*CHAIN, "analysis=basic", "teacher.ensemble=[mlp]")
    assert sorted(role for role, _ in asked) == sorted(roles(measured))
    chain = read_sealed(folder / "analysis.json")["chains"][0]
    steps = [step["test"] for step in measured["chain"][0]["steps"]]
    assert chain["steps"] == steps
    asked.clear()
    assert do(*CHAIN, "teacher.ensemble=[mlp]")[0]["chain"] == measured["chain"]
    assert asked == [
        (role, ("validation", "test"))
        for role in ("teacher", "teacher", "assistant", "student", "direct", "control")
    ]


def test_an_ensemble_is_the_first_step_of_the_chain_as_one(do):
    summary, _ = do(*CHAIN, "teacher.ensemble=[convnet]", "chain.control=false")
    (chain,) = summary["chain"]
    assert [step["teacher"] for step in chain["steps"]] == ["convnet + convnet", "mlp"]
    sizes = [stage["parameters"] for stage in summary["stages"]]
    assert chain["steps"][0]["ratio"] == pytest.approx((sizes[0] + sizes[1]) / sizes[2])


def test_several_seeds_train_the_stages_of_single_runs(do):
    several, folder = do("seeds=[0,1]")
    assert roles(several) == ["teacher", "teacher", "student", "student", "control", "control"]
    for number in (0, 1):
        single, _ = do(f"train.seed={number}")
        ours = several["stages"][number::2]
        assert [stage["hash"] for stage in ours] == [stage["hash"] for stage in single["stages"]]
        assert all(stage["reused"] for stage in single["stages"])
        assert {stage["seed"] for stage in ours} == {number}
    links = sorted(path.name for path in (folder / "stages").iterdir())
    assert links[:2] == ["00-teacher-convnet-seed0", "01-teacher-convnet-seed1"]
    assert {line["seed"] for line in read_json_lines(folder / "metrics.jsonl")} == {0, 1}


def test_generations_and_their_ensembles_are_reported(do):
    summary, _ = do(*BORN_AGAIN, "seeds=[0,1]")
    assert roles(summary)[::2] == [
        *("generation", "generation", "generation", "independent", "independent"),
        *("direct", "control"),
    ]
    report = summary["born_again"]
    stages = [stage for stage in summary["stages"] if stage["role"] == "generation"]
    tests = [stage["accuracy"]["test_at_best_validation"] for stage in stages]
    assert report["test"] == [tests[0:2], tests[2:4], tests[4:6]]
    rising = [all(a <= b for a, b in pairwise(tests[seed::2])) for seed in (0, 1)]
    assert report["monotone"] == rising
    gains = [tests[i + 2] - tests[i] for i in range(4)]
    recorded = {(g["model"], g["over"]): g for g in summary["gains"] if g["split"] == "test"}
    first = recorded["generation 1 convnet", "generation 0 convnet"]
    assert first["points"] == pytest.approx(50 * sum(gains[:2]))
    for kind in ("arithmetic", "geometric"):
        ours, theirs = report["ensembles"][kind], report["independent"][kind]
        gain = 50 * sum(a - b for a, b in zip(ours, theirs, strict=True))
        found = recorded[f"{kind} ensemble", f"{kind} ensemble of models from labels"]
        assert found["points"] == pytest.approx(gain)
    assert any("over direct distillation" in line for line in verdict(summary))


def test_generations_stop_after_one_that_gains_no_more_than_noise(do):
    # A rate near 0 leaves every generation at chance.
    summary, _ = do(*BORN_AGAIN, "chain.stop_early=true", "chain.generations=5", "train.lr=1e-9")
    assert roles(summary) == ["generation", "generation", "independent", "control"]
    assert (summary["born_again"]["generations"], summary["born_again"]["planned"]) == (2, 5)
    assert summary["stages"][-1]["epochs"] == 2


def test_nothing_is_left_to_do_after_the_last_generation_without_controls(do):
    words = ("chain=born_again", "chain.control=false", "train.lr=1e-9", "chain.stop_early=true")
    summary, _ = do(*words)
    assert roles(summary) == ["generation", "generation"]


def test_without_validation_no_generation_is_left_out(do):
    words = ("chain=born_again", "chain.stop_early=true", "train.lr=1e-9", "dataset.val_fraction=0")
    summary, _ = do(*words)
    assert roles(summary).count("generation") == 3


def test_a_sweep_job_of_several_seeds_counts_with_its_mean(do):
    from kdrun.report.sweep_jobs import accuracies

    summary, _ = do("seeds=[0,1]", "train.epochs=1")
    tests = [s["accuracy"]["test_at_best_validation"] for s in summary["stages"]]
    found = accuracies(summary)
    assert found["test"] == pytest.approx((tests[2] + tests[3]) / 2)
    assert found["control_test"] == pytest.approx((tests[4] + tests[5]) / 2)


def test_the_last_generation_of_a_run_can_be_a_teacher(do):
    _, first = do("chain=born_again", "chain.control=false", "chain.generations=2")
    summary, folder = do(f"teacher.weights={first}", "teacher.width=4", "chain.control=false")
    used, last = (
        f / "stages" / name
        for f, name in (
            (folder, "00-teacher-convnet"),
            (first, "01-generation-convnet"),
        )
    )
    assert summary["stages"][0]["epochs"] == 0
    assert (
        read_sealed(used / "summary.json")["files"]["best.safetensors"]
        == (read_sealed(last / "summary.json")["files"]["best.safetensors"])
    )


@pytest.mark.parametrize("chain", [CHAIN, BORN_AGAIN])
def test_models_that_exclude_each_others_classes_end_with_a_summary(do, chain, monkeypatch):
    predict_splits = run_predictions.predict_splits

    def asked_far_apart(*given):
        answers = predict_splits(*given)
        asked.append(given)
        for split, one in answers.items():
            sure = (one.labels + len(asked)) % one.logits.shape[1]
            logits = torch.full(one.logits.shape, -900.0)
            logits[torch.arange(len(sure)), sure] = 900.0
            answers[split] = replace(one, logits=logits)
        return answers

    asked = []
    monkeypatch.setattr(run_predictions, "predict_splits", asked_far_apart)
    summary, folder = do(*chain)
    assert read_sealed(folder / "summary.json") == summary
    assert summary["chain"][0]["steps"][0]["test"]["kl"] == "inf"
    assert resume_run(folder, []) == summary
