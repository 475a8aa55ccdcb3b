"""`analysis.json` of real runs, held against the weights they left."""

import base64
import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from kdrun.analysis import class_similarity, dark_knowledge
from kdrun.errors import ConfigError, DamagedError, Stopped
from kdrun.export.student import export_student
from kdrun.plan.build import build_plan
from kdrun.report.run_page import write_report
from kdrun.runs.analyze import analyze_run
from kdrun.runs.prepare import make_context, make_stage_runs
from kdrun.runs.resume import resume_run
from kdrun.runs.runner import run
from kdrun.runs.verify import show_verified
from kdrun.store.files import read_json, read_sealed
from kdrun.training.stage_model import load_finished

SMALL = (
    *("teacher=convnet", "teacher.width=8", "student=convnet", "student.width=4"),
    *("train.epochs=2", "train.precision=fp32", "train.device=cpu", "teacher.min_accuracy=0"),
    "dataset.limit=400",
)


@pytest.fixture(scope="module")
def done(make_config, tmp_path_factory):
    """A finished run with everything measured: config, folder, summary, analysis."""
    root = tmp_path_factory.mktemp("outputs")
    config = make_config(*SMALL, "analysis=full", f"output_root={root}")
    summary = run(config, root / "run", [])
    return config, root / "run", summary, read_sealed(root / "run" / "analysis.json")


def logits_of(config, place):
    context = make_context(config, None)
    stage_runs = make_stage_runs(build_plan(config), {None: context})
    network, normalizer = load_finished(stage_runs[place], context)
    (batch,) = context.data.test.batches(10_000)
    with torch.no_grad():
        return network.eval()(normalizer(batch.images)), batch.labels


def test_accuracies_are_those_of_the_summary(done):
    _, _, summary, analysis = done
    for stage, model in zip(summary["stages"], analysis["models"], strict=True):
        accuracy = stage["accuracy"]
        assert model["splits"]["test"]["accuracy"] == accuracy["test_at_best_validation"]
        assert model["splits"]["validation"]["accuracy"] == accuracy["best_validation"]
        low, high = model["splits"]["test"]["interval"]
        assert low < model["splits"]["test"]["accuracy"] < high


def test_fidelity_and_scores_are_those_of_the_saved_weights(done):
    config, _, _, analysis = done
    teacher, labels = logits_of(config, 0)
    student, _ = logits_of(config, 1)
    pair = analysis["pairs"][0]
    assert (pair["kind"], pair["student"]["role"], pair["other"]["role"]) == (
        *("teacher", "student", "teacher"),
    )
    test = pair["splits"]["test"]
    same = (student.argmax(1) == teacher.argmax(1)).double().mean().item()
    assert test["agreement"] == pytest.approx(same)
    logs = [torch.log_softmax(one.double(), 1) for one in (student, teacher)]
    kl = torch.nn.functional.kl_div(*logs, log_target=True, reduction="batchmean").item()
    assert test["mean_kl"] == pytest.approx(kl, rel=1e-5)
    nll = torch.nn.functional.cross_entropy(student.double(), labels).item()
    assert analysis["models"][1]["splits"]["test"]["nll"] == pytest.approx(nll, rel=1e-5)


def test_pairs_are_measured_on_the_training_images_too(done):
    config, _, _, analysis = done
    context = make_context(config, None)
    stage_runs = make_stage_runs(build_plan(config), {None: context})
    (batch,) = context.data.train.batches(10_000)
    teacher, student = (
        network.eval()(normalizer(batch.images)).argmax(1)
        for network, normalizer in (
            load_finished(stage_run, context) for stage_run in stage_runs[:2]
        )
    )
    train = analysis["pairs"][0]["splits"]["train"]
    assert train["images"] == len(batch.labels)
    assert train["agreement"] == pytest.approx((teacher == student).double().mean().item())
    assert all(train["bound"]["holds"][name] for name in ("tv", "pinsker", "seed_bound"))


def test_models_evaluated_in_other_batches_are_asked_about_one_sample(make_config, tmp_path):
    # Of 360 training images a pass in batches of 359 leaves the last one out.
    words = (*SMALL, "train.eval_batch_size=359", "chain.stage.1.train.eval_batch_size=100")
    run(make_config(*words, f"output_root={tmp_path}"), tmp_path / "run", [])
    analysis = read_sealed(tmp_path / "run" / "analysis.json")
    assert {model["splits"]["train"]["images"] for model in analysis["models"]} == {360}
    assert analysis["pairs"][0]["splits"]["train"]["images"] == 360


def test_layers_are_compared_and_a_model_is_wholly_like_itself(done):
    inside = done[3]["pairs"][0]["inside"]
    rows, columns = inside["student_layers"], inside["teacher_layers"]
    assert rows[-1] == columns[-1] == "penultimate"
    assert [len(row) for row in inside["cka"]] == [len(columns)] * len(rows)
    assert all(0 <= value <= 1 for row in inside["cka"] for value in row)
    assert {pair["student"] for pair in inside["matched"]} == set(rows)
    assert -1 <= inside["relations_before"] <= 1
    assert inside["attention"] == []


def test_examples_are_images_of_the_test_set_on_which_the_models_differ(done):
    config, _, _, analysis = done
    context = make_context(config, None)
    names = context.data.class_names
    (batch,) = context.data.test.batches(10_000)
    shown = analysis["examples"][0]["images"]
    assert shown
    for example in shown:
        assert example["student"]["class"] != example["teacher"]["class"]
        assert example["label"] == names[batch.labels[example["index"]]]
        picture = Image.open(io.BytesIO(base64.b64decode(example["png"])))
        pixels = torch.from_numpy(np.array(picture)).long()
        assert torch.equal(pixels, batch.images[example["index"], 0].long())


def test_the_chain_adds_up(done):
    (chain,) = done[3]["chains"]
    assert [stage["role"] for stage in chain["stages"]] == ["teacher", "student"]
    errors = [1 - model["splits"]["test"]["accuracy"] for model in done[3]["models"]]
    assert chain["error_difference"] == pytest.approx(errors[1] - errors[0])
    losses = [model["splits"]["test"]["nll"] for model in done[3]["models"]]
    assert chain["loss_difference"] == pytest.approx(losses[1] - losses[0])
    bound = done[3]["pairs"][0]["splits"]["test"]["bound"]
    assert chain["steps"][0]["pinsker"] == pytest.approx(bound["pinsker"])


def test_the_verb_repeats_the_measures_of_the_run(done, tmp_path):
    _, folder, _, analysis = done
    (folder / "analysis.json").unlink()
    assert analyze_run(folder, "full") == folder / "analysis.json"
    again = read_sealed(folder / "analysis.json")
    for content in (again, analysis):
        for model in content["models"]:
            assert model.pop("latency")["median_ms"] > 0
    assert again == analysis
    json.dumps(read_json(folder / "analysis.json"), allow_nan=False)


def test_damaged_weights_and_unfinished_runs_are_refused(done, tmp_path):
    _, folder, summary, _ = done
    moved = tmp_path / "outputs"
    shutil.copytree(folder.parent, moved, symlinks=True)
    stage = moved / "store" / summary["stages"][1]["hash"]
    content = bytearray((stage / "best.safetensors").read_bytes())
    content[-1] ^= 1
    (stage / "best.safetensors").write_bytes(content)
    with pytest.raises(DamagedError, match=r"best\.safetensors"):
        analyze_run(moved / "run", "basic")
    (moved / "run" / "summary.json").unlink()
    with pytest.raises(ConfigError, match="not finished"):
        analyze_run(moved / "run", "basic")


def test_measures_that_fail_cost_a_line_and_not_the_run(make_config, tmp_path, monkeypatch, capsys):
    from kdrun.runs import finish

    def fail(*given):
        raise RuntimeError("no such luck\nand more")

    config = make_config(*SMALL, "student=mlp", f"output_root={tmp_path}", "train.epochs=1")
    folder = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(finish, "write_analysis", fail)
        assert run(config, folder, [])["status"] == "done"
    out = capsys.readouterr().out
    assert "no analysis: RuntimeError: no such luck; the run is finished without; " in out
    assert f"'kdrun analyze {folder}' measures it\n" in out
    assert read_json(folder / "status.json")["status"] == "done"
    assert "There is no analysis yet" in (folder / "report.html").read_text()
    resume_run(folder, [])
    assert read_sealed(folder / "analysis.json")["level"] == "basic"
    assert "There is no analysis yet" not in (folder / "report.html").read_text()


def test_a_run_stopped_while_it_measures_goes_on_from_there(make_config, tmp_path, monkeypatch):
    from kdrun.evaluation import run_predictions

    def stop(*given):
        raise Stopped("stopped while measuring")

    config = make_config(*SMALL, "student=mlp", f"output_root={tmp_path}", "train.epochs=1")
    with monkeypatch.context() as patched:
        patched.setattr(run_predictions, "collect", stop)
        with pytest.raises(Stopped, match="kdrun resume"):
            run(config, tmp_path / "run", [])
    assert not (tmp_path / "run" / "summary.json").exists()
    assert resume_run(tmp_path / "run", [])["status"] == "done"
    assert (tmp_path / "run" / "analysis.json").exists()


class Killed(BaseException):
    """A process that ends at once, with no time to record why."""


def test_a_run_killed_while_it_measures_is_finished_and_is_measured_by_resume(
    make_config, tmp_path, monkeypatch, capsys
):
    from kdrun.runs import finish

    def die(*given):
        raise Killed

    words = (*SMALL, "student=mlp", "chain.control=false", "train.epochs=1")
    for name in ("whole", "killed"):
        folder, config = tmp_path / name / "run", make_config(*words, f"output_root={tmp_path}")
        with monkeypatch.context() as patched:
            if name == "killed":
                patched.setattr(finish, "write_analysis", die)
                with pytest.raises(Killed):
                    run(config, folder, [])
            else:
                run(config, folder, [])
    assert "'kdrun resume" in capsys.readouterr().out
    assert not (folder / "analysis.json").exists()
    assert read_json(folder / "status.json")["status"] == "running"
    show_verified(folder)
    assert "There is no analysis yet" in write_report(folder).read_text()
    assert export_student(folder, ["safetensors"])["test_images"] > 0
    assert resume_run(folder, [])["status"] == "done"
    assert read_json(folder / "status.json")["status"] == "done"
    both = [read_sealed(tmp_path / name / "run" / "analysis.json") for name in ("whole", "killed")]
    for model in (model for content in both for model in content["models"]):
        del model["latency"]
    assert both[0] == both[1]
    show_verified(folder)


def test_a_run_stopped_while_it_is_measured_by_resume_says_how_to_continue(
    make_config, tmp_path, monkeypatch
):
    from kdrun.runs import resume

    def stop(*given):
        raise Stopped("stopped while measuring")

    folder = tmp_path / "run"
    run(make_config(*SMALL, "student=mlp", "train.epochs=1", f"output_root={tmp_path}"), folder, [])
    (folder / "analysis.json").unlink()
    monkeypatch.setattr(resume, "write_analysis", stop)
    with pytest.raises(Stopped, match="kdrun resume"):
        resume_run(folder, [])
    assert read_json(folder / "status.json")["status"] == "stopped"
    assert resume_run(folder, ["analysis=off"])["status"] == "done"
    assert read_json(folder / "status.json")["status"] == "done"


def test_an_ensemble_is_compared_as_the_mean_that_taught(make_config, tmp_path):
    given = ("teacher.ensemble=[mlp]", "teacher.ensemble_weights=[1,3]", "chain.control=false")
    config = make_config(*SMALL, *given, f"output_root={tmp_path}", "temperature=linear")
    run(config, tmp_path / "run", [])
    analysis = read_sealed(tmp_path / "run" / "analysis.json")
    assert [pair["kind"] for pair in analysis["pairs"]] == ["teacher", "teacher", "ensemble"]
    pair, (chain,) = analysis["pairs"][2], analysis["chains"]
    ensemble = {"stages": [0, 1], "arch": "convnet + mlp", "role": "ensemble", "step": 0}
    assert pair["other"] == ensemble
    (first, labels), (second, _), (student, _) = (logits_of(config, place) for place in range(3))

    def mean(T):
        shares = zip((0.25, 0.75), (first.double(), second.double()), strict=True)
        return sum(share * torch.softmax(logits / T, 1) for share, logits in shares)

    test = pair["splits"]["test"]
    wrong = (mean(1).argmax(1) != labels).double().mean().item()
    assert test["bound"]["eps_T"] == pytest.approx(wrong)
    same = (mean(1).argmax(1) == student.argmax(1)).double().mean().item()
    assert test["agreement"] == pytest.approx(same)
    assert chain["stages"][0]["accuracy"] == pytest.approx(1 - wrong)
    together = analysis["teachers"][2]
    assert {key: together[key] for key in ensemble} == ensemble
    knowledge = together["knowledge"]
    assert knowledge["T_range"] == pair["T_range"]
    for key, T in (("at_1", 1), ("at_T", knowledge["T"])):
        expected = dark_knowledge(mean(T), labels)
        assert knowledge["splits"]["test"][key]["lower"] == pytest.approx(expected.lower)
        assert knowledge["splits"]["test"][key]["upper"] == pytest.approx(expected.upper)
    table = class_similarity(mean(knowledge["T"]), labels)
    torch.testing.assert_close(torch.tensor(together["similarity"]["probability"]), table.float())
    probe = test["gradient_probe"]
    soft = 4 * (torch.softmax(student.double() / 4, 1) - mean(4))
    place = probe["temperatures"].index(4.0)
    assert probe["soft_norm"][place] == pytest.approx(soft.norm(dim=1).mean().item(), rel=1e-5)
    # T falls from loss.T = 4 to temperature.end = 1 in two epochs.
    assert (pair["T"], pair["T_range"]) == (4.0, [1.0, 4.0])


@pytest.mark.slow
def test_attention_of_transformers_is_compared(make_config, tmp_path):
    timm = pytest.importorskip("timm")
    assert timm.__version__
    names = [
        f"{role}{rest}" for role in ("teacher", "student") for rest in ("=timm", ".arch=test_vit")
    ]
    config = make_config(
        *names,
        "dataset.image_size=32",
        "dataset.limit=200",
        "train.epochs=1",
        "train.device=cpu",
        "teacher.min_accuracy=0",
        "analysis=full",
        f"output_root={tmp_path}",
    )
    run(config, tmp_path / "run", [])
    attention = read_sealed(tmp_path / "run" / "analysis.json")["pairs"][0]["inside"]["attention"]
    assert attention
    for layer in attention:
        information = layer["information"]
        assert information["gap"] <= information["bound"]
        assert len(layer["student_map"]) == len(layer["teacher_map"])
