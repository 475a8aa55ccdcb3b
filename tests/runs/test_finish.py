"""What a run keeps of its models' answers, and the gains that its summary lists."""

import pytest
import torch
from scipy import stats

from kdrun.evaluation.right_images import right_images
from kdrun.evaluation.run_predictions import RunPredictions
from kdrun.plan.build import build_plan
from kdrun.runs import finish
from kdrun.runs.prepare import make_context, make_stage_runs
from kdrun.runs.runner import run
from kdrun.store.correct_images import read_correct
from kdrun.store.files import read_sealed
from kdrun.training.stage_model import load_finished

SMALL = (
    *("teacher=mlp", "teacher.width=16", "student=mlp", "student.width=8", "analysis=off"),
    *("train.epochs=2", "train.precision=fp32", "train.device=cpu", "teacher.min_accuracy=0"),
    *("dataset.limit=400", "dataset.val_fraction=0.2"),
)


@pytest.fixture(scope="module")
def done(make_config, tmp_path_factory):
    """A run of one seed without an analysis: its config, folder and summary."""
    root = tmp_path_factory.mktemp("outputs")
    config = make_config(*SMALL, f"output_root={root}")
    return config, root / "run", run(config, root / "run", [])


def right(config, place, split):
    """Which images the saved weights decide rightly."""
    context = make_context(config, None)
    stage_run = make_stage_runs(build_plan(config), {None: context})[place]
    network, normalizer = load_finished(stage_run, context)
    images = context.data.validation if split == "validation" else context.data.test
    (batch,) = images.batches(10_000)
    with torch.no_grad():
        return network.eval()(normalizer(batch.images)).argmax(1) == batch.labels


@pytest.mark.parametrize("split", ["test", "validation"])
def test_gains_of_one_seed_are_mcnemars_of_the_saved_weights(done, split):
    config, _, summary = done
    ours, theirs = (right(config, place, split) for place in (1, 2))
    counts = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    (gain,) = (gain for gain in summary["gains"] if gain["split"] == split)
    assert (gain["model"], gain["over"]) == ("student mlp", "control mlp")
    assert (gain["only_ours"], gain["only_theirs"]) == counts
    assert gain["p"] == pytest.approx(stats.binomtest(counts[0], sum(counts)).pvalue)
    name = {"test": "test_at_best_validation"}.get(split, "best_validation")
    accuracies = [stage["accuracy"][name] for stage in summary["stages"][1:]]
    assert gain["points"] == pytest.approx(100 * (accuracies[0] - accuracies[1]), abs=1e-4)


def test_the_right_images_of_compared_models_lie_in_a_file_of_the_run(done):
    config, folder, _ = done
    kept = read_correct(folder)
    assert set(kept) == {1, 2}
    assert "correct.json" in read_sealed(folder / "summary.json")["files"]
    for place, splits in kept.items():
        for split, one in splits.items():
            expected = right(config, place, split)
            bits = [byte >> (7 - n) & 1 for byte in one.right for n in range(8)][: one.images]
            assert bits == expected.int().tolist()
    assert kept[1]["test"].source == kept[2]["test"].source != kept[1]["validation"].source


def test_a_student_without_a_control_is_kept_for_comparisons_with_other_runs(make_config, tmp_path):
    config = make_config(*SMALL, "chain.control=false", f"output_root={tmp_path}")
    assert run(config, tmp_path / "run", [])["gains"] == []
    assert {place: set(splits) for place, splits in read_correct(tmp_path / "run").items()} == {
        1: {"validation", "test"}
    }


def test_the_loss_of_the_best_epoch_is_in_the_summary(done):
    config, _, summary = done
    context = make_context(config, None)
    stage_runs = make_stage_runs(build_plan(config), {None: context})
    for stage_run, stage in zip(stage_runs, summary["stages"], strict=True):
        network, normalizer = load_finished(stage_run, context)
        (batch,) = context.data.validation.batches(10_000)
        with torch.no_grad():
            logits = network.eval()(normalizer(batch.images))
        loss = torch.nn.functional.cross_entropy(logits, batch.labels).item()
        assert stage["accuracy"]["best_validation_loss"] == pytest.approx(loss, rel=1e-4)


def test_predictions_that_nobody_reads_again_are_dropped(done):
    config, _, _ = done
    context = make_context(config, None)
    stage_runs = make_stage_runs(build_plan(config), {None: context})
    for keep, left in ((True, 2), (False, 0)):
        answers = RunPredictions(stage_runs, {None: context}, ("validation", "test"))
        assert set(right_images(answers, [1, 2], keep)) == {1, 2}
        assert len(answers.asked) == left


def test_answers_that_cannot_be_kept_cost_a_line_and_not_the_run(
    make_config, tmp_path, monkeypatch, capsys
):
    def fail(*given):
        raise RuntimeError("no room")

    monkeypatch.setattr(finish, "right_images", fail)
    summary = run(make_config(*SMALL, f"output_root={tmp_path}"), tmp_path / "run", [])
    assert [gain["p"] for gain in summary["gains"]] == [None, None]
    out = " ".join(capsys.readouterr().out.split())
    assert "no record of correctly classified images: RuntimeError: no room" in out
    assert "the run has no record of the images each model gets right" in out


def test_several_seeds_are_compared_over_their_seeds(make_config, tmp_path, capsys):
    config = make_config(*SMALL, "seeds=[0,1,2]", f"output_root={tmp_path}")
    summary = run(config, tmp_path / "run", [])
    tests = [stage["accuracy"]["test_at_best_validation"] for stage in summary["stages"]]
    expected = stats.ttest_rel(tests[3:6], tests[6:9])
    (gain,) = (gain for gain in summary["gains"] if gain["split"] == "test")
    assert gain["p"] == pytest.approx(expected.pvalue)
    low, high = (100 * end for end in expected.confidence_interval(0.95))
    assert (gain["low"], gain["high"], gain["seeds"]) == (
        *(pytest.approx(low), pytest.approx(high), 3),
    )
    ends = f"[{low:+.2f}, {high:+.2f}] (95 %, 3 seeds, paired t".replace("-", "−")
    assert ends in " ".join(capsys.readouterr().out.split())
