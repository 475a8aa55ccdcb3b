"""Runs side by side, held against scipy's own t-test and plain arithmetic."""

import csv
import io
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from rich.console import Console
from scipy import stats

from kdrun.cli.entry import main
from kdrun.errors import ConfigError, DamagedError
from kdrun.report.comparison import compare, without_repeats
from kdrun.report.comparison_formats import (
    csv_text,
    markdown,
    notes,
    runs_words,
    table,
    tie_notes,
)
from kdrun.report.comparison_latex import latex
from kdrun.report.comparison_page import comparison_figures, lead, title
from kdrun.report.comparison_plots import COSTS, costs_of, pareto
from kdrun.report.gains import run_gains
from kdrun.report.run_settings import configured
from kdrun.runs.runner import run
from kdrun.store.correct_images import Correct, read_correct, write_correct
from kdrun.store.files import (
    read_json_lines,
    read_sealed,
    write_json_lines,
    write_sealed,
    write_yaml,
)
from tests.report.sealing import seal_again
from tests.report.test_run_page import HOSTILE, Page, assert_alone_and_inert

# (T, seed) -> validation, test, control
RESULTS = {
    ("1", 0): (0.80, 0.81, 0.75), ("1", 1): (0.82, 0.80, 0.76), ("1", 2): (0.84, 0.86, 0.77),
    ("4", 0): (0.90, 0.88, 0.75), ("4", 1): (0.91, 0.90, 0.76), ("4", 2): (0.92, 0.89, 0.77),
}  # fmt: skip


def right(accuracy, images=1000):
    """The first of the images are right."""
    bits = np.arange(images) < round(accuracy * images)
    return Correct(images, "the same", np.packbits(bits).tobytes())


def without_answers(folder):
    """As a run of an older version, which kept no answers by image."""
    (folder / "correct.json").unlink()
    summary = read_sealed(folder / "summary.json")
    del summary["files"]["correct.json"], summary["gains"]
    write_sealed(folder / "summary.json", summary)
    return folder


def made_run(
    finished_run, folder, overrides, seed, validation, test, control, train=0.99, dataset="digits"
):
    """A copy of a finished run with other results."""
    shutil.copytree(finished_run, folder, symlinks=True, ignore=shutil.ignore_patterns("plots"))
    summary, plan = (read_sealed(folder / f"{name}.json") for name in ("summary", "plan"))
    for stage, planned in zip(summary["stages"], plan["stages"], strict=True):
        planned["identity"]["train"]["seed"] = seed + 1000 * (stage["role"] == "teacher")
        value = {"student": test, "control": control}.get(stage["role"], 0.95)
        stage["accuracy"] |= {"best_validation": validation, "test_at_best_validation": value}
        loss = None if validation is None else stage["accuracy"]["best_validation_loss"]
        stage["accuracy"] |= {"train": train, "last": validation, "best_validation_loss": loss}
    accuracies = {"student": test, "control": control}
    correct = {
        place: {"test": right(accuracies[stage["role"]])}
        | ({} if validation is None else {"validation": right(validation)})
        for place, stage in enumerate(summary["stages"])
        if stage["role"] in accuracies
    }
    summary |= {"seed": seed, "dataset": dataset, "test_images": 1000}
    write_sealed(folder / "summary.json", summary | {"gains": run_gains(summary, correct)})
    write_sealed(folder / "plan.json", plan)
    write_correct(folder, correct)
    if validation is None:
        lines = read_json_lines(folder / "metrics.jsonl")
        (folder / "metrics.jsonl").unlink()
        write_json_lines(
            folder / "metrics.jsonl", [line | {"validation_accuracy": None} for line in lines]
        )
    write_yaml(folder / "overrides.yaml", overrides)
    config = OmegaConf.load(folder / "config.yaml")
    for key, _, value in (override.partition("=") for override in overrides):
        if OmegaConf.select(config, key) is not None:  # whatever a hostile file may hold else
            OmegaConf.update(config, key, yaml.safe_load(value))
    write_yaml(folder / "config.yaml", config)
    seal_again(folder)
    return folder


@pytest.fixture(scope="module")
def sweep(finished_run, tmp_path_factory):
    """A sweep over T and seeds, with a job that failed."""
    folder = tmp_path_factory.mktemp("sweep")
    for number, ((T, seed), result) in enumerate(RESULTS.items()):
        overrides = [f"loss.T={T}", f"train.seed={seed}", "output_root=elsewhere"]
        made_run(finished_run, folder / str(number), overrides, seed, *result)
    (folder / "6").mkdir()
    write_yaml(folder / "6" / "overrides.yaml", ["loss.T=0"])
    failed = {"status": "failed", "error": {"code": 2, "message": "loss.T=0: must be above 0"}}
    (folder / "6" / "status.json").write_text(json.dumps(failed))
    write_yaml(folder / "sweep.yaml", {"format": 1, "overrides": [], "jobs": None})
    return folder


def test_seeds_are_averaged_and_the_best_on_validation_is_first(sweep):
    content = compare([sweep])
    assert content["varied"] == ["loss.T", "train.seed"]
    first, second = content["settings"]
    assert (first["settings"], first["seeds"]) == ({"loss.T": "4"}, 3)
    assert first["test"] == pytest.approx((0.88 + 0.90 + 0.89) / 3)
    assert second["deviation"] == pytest.approx(stats.tstd([0.81, 0.80, 0.86]))
    assert len(content["runs"]) == 6


def test_jobs_of_a_sweep_that_were_not_begun_are_named(finished_run, tmp_path):
    made_run(finished_run, tmp_path / "0", ["loss.T=1"], 0, 0.8, 0.8, 0.7)
    jobs = [["loss.T=1"], ["loss.T=2"]]
    write_yaml(tmp_path / "sweep.yaml", {"format": 1, "overrides": [], "jobs": jobs})
    content = compare([tmp_path])
    missing = str(tmp_path / "1")
    assert content["unfinished"] == [{"run": missing, "status": "not begun", "error": ""}]
    assert f"{missing} is left out: not begun" in notes(content)


def test_a_run_that_was_resumed_with_another_length_is_told_by_it(finished_run, tmp_path):
    longer = made_run(finished_run, tmp_path / "a", ["train.epochs=7"], 0, 0.8, 0.8, 0.7)
    write_yaml(longer / "overrides.yaml", ["train.epochs=2"])  # as it was first told
    seal_again(longer)
    other = made_run(finished_run, tmp_path / "b", ["train.epochs=5"], 0, 0.9, 0.9, 0.7)
    rows = compare([longer, other])["settings"]
    assert [row["settings"] for row in rows] == [{"train.epochs": "5"}, {"train.epochs": "7"}]


def test_what_had_no_validation_images_is_ranked_by_training_and_says_so(
    finished_run, tmp_path, capsys
):
    runs = [
        made_run(finished_run, tmp_path / T, [f"loss.T={T}"], 0, None, 0.9, 0.7, train)
        for T, train in (("1", 0.93), ("2", 0.97), ("3", 0.95))
    ]
    rows = compare(runs)["settings"]
    assert [row["settings"]["loss.T"] for row in rows] == ["2", "3", "1"]
    assert [row["validation"] for row in rows] == [None] * 3
    assert call("report", *map(str, runs)) == 0
    out = capsys.readouterr().out
    assert "3 runs by training accuracy" in out
    assert "no validation images (dataset.val_fraction=0): by training accuracy" in out
    assert "97.00%" in out
    held_out = made_run(finished_run, tmp_path / "4", ["loss.T=4"], 0, 0.5, 0.9, 0.7)
    content = compare([*runs, held_out])
    assert [row["settings"]["loss.T"] for row in content["settings"]] == ["4", "2", "3", "1"]
    assert "rows without validation images" in " ".join(notes(content))


def test_a_run_that_repeats_another_is_counted_once_and_named(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / str(n), ["loss.T=1"], 0, 0.8, test, 0.7)
        for n, test in enumerate([0.81, 0.81, 0.83])
    ]
    content = compare(runs)
    (row,) = content["settings"]
    assert (row["seeds"], row["test"]) == (1, 0.81)
    assert len(content["runs"]) == 3
    told = " ".join(notes(content))
    assert f"{runs[1]} is left out: same settings and seed as {runs[0]}, with the same" in told
    assert f"{runs[2]} is left out: same settings and seed as {runs[0]}, with a different" in told


def test_each_data_set_is_compared_within_itself(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / f"{name}{T}", [f"dataset={name}", f"loss.T={T}"], 0, v,
                 v, 0.5, dataset=name)
        for name, T, v in (("digits", 1, 0.9), ("mnist", 1, 0.7), ("digits", 2, 0.8),
                           ("mnist", 2, 0.75))
    ]  # fmt: skip
    content = compare(runs)
    rows = [(row["dataset"], row["test"], row["difference"]) for row in content["settings"]]
    rows = [(name, test, gain and gain["points"]) for name, test, gain in rows]
    assert rows == [
        ("digits", 0.9, None),
        ("digits", 0.8, pytest.approx(-10)),
        ("mnist", 0.75, None),
        ("mnist", 0.7, pytest.approx(-5)),
    ]
    assert lead(content).count("on test") == 2
    assert [one["dataset"] for one in content["ties"]] == ["digits", "mnist"]
    assert [figure.name for figure in comparison_figures(content)] == ["gains"]
    head = csv_text(content).splitlines()[0].split(",")
    assert len(head) == len(set(head))


def test_no_column_stands_twice_and_what_does_not_apply_is_empty(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / "a", ["student=mlp", "train.ema=0.9"], 0, 0.8, 0.8, 0.7),
        made_run(finished_run, tmp_path / "b", ["student=convnet"], 0, 0.9, 0.9, 0.7),
    ]
    content = compare(runs)
    rules = latex(content).splitlines()
    heads_of_latex = rules[rules.index(r"\toprule") + 1]
    for line, sign in ((markdown(content).splitlines()[0], "|"), (heads_of_latex, "&")):
        heads = [head.strip() for head in line.split(sign)]
        assert heads.count("student") == 1
    rows = list(csv.DictReader(io.StringIO(csv_text(content))))
    assert {row["train.ema"] for row in rows} == {"0.9", ""}


def test_equal_networks_have_one_latency(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / str(n), [f"loss.T={n}"], 0, 0.8, 0.8, 0.7) for n in (1, 2)
    ]
    content = read_sealed(runs[1] / "analysis.json")
    for model in content["models"]:
        model["latency"]["median_ms"] *= 3
    write_sealed(runs[1] / "analysis.json", content)
    first, second = compare(runs)["settings"]
    assert first["latency_ms"] == second["latency_ms"] > 0


def test_seeds_of_one_run_are_those_of_a_sweep(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / "a", ["seeds=[0,1]"], 0, 0.8, 0.8, 0.7),
        made_run(finished_run, tmp_path / "b", ["train.seed=1"], 1, 0.9, 0.9, 0.7),
    ]
    (row,) = compare(runs)["settings"]
    assert (row["settings"], row["seeds"]) == ({}, 2)


def test_where_and_how_fast_a_run_went_tells_nothing_of_its_result(finished_run, tmp_path):
    one = made_run(finished_run, tmp_path / "a", ["train.threads=1"], 0, 0.8, 0.8, 0.7)
    other = made_run(finished_run, tmp_path / "b", ["train.keep_last=3"], 1, 0.9, 0.9, 0.7)
    (row,) = compare([one, other])["settings"]
    assert (row["settings"], row["seeds"]) == ({}, 2)


def test_options_of_a_chain_tell_nothing_of_a_run_without_one(finished_run, tmp_path):
    told = made_run(finished_run, tmp_path / "a", ["chain.generations=4"], 0, 0.8, 0.8, 0.7)
    plain = made_run(finished_run, tmp_path / "b", [], 0, 0.9, 0.9, 0.7)
    assert compare([told, plain])["varied"] == []


def test_a_born_again_run_is_its_last_generation(make_config, tmp_path):
    config = make_config(
        *("chain=born_again", "chain.generations=2", "student=mlp", "student.width=8"),
        *("train.epochs=1", "analysis=off", "seeds=[0,1]", f"output_root={tmp_path}"),
    )
    summary = run(config, tmp_path / "run", ["chain=born_again"])
    last = [s for s in summary["stages"] if (s["role"], s.get("step")) == ("generation", 1)]
    (row,) = compare([tmp_path / "run"])["settings"]
    assert row["seeds"] == 2
    tests = [stage["accuracy"]["test_at_best_validation"] for stage in last]
    assert row["test"] == pytest.approx(sum(tests) / 2)
    controls = [s for s in summary["stages"] if s["role"] == "control"]
    gains = [
        t - c["accuracy"]["test_at_best_validation"] for t, c in zip(tests, controls, strict=True)
    ]
    assert row["gain"]["points"] == pytest.approx(50 * sum(gains))


def test_intervals_are_those_of_the_paired_t_test(sweep):
    first, second = compare([sweep])["settings"]
    for row, T in ((first, "4"), (second, "1")):
        tests, controls = ([RESULTS[T, seed][k] for seed in range(3)] for k in (1, 2))
        expected = stats.ttest_rel(tests, controls)
        ends = [100 * end for end in expected.confidence_interval(0.95)]
        assert [row["gain"]["low"], row["gain"]["high"]] == pytest.approx(ends)
        assert row["gain"]["p"] == pytest.approx(expected.pvalue)
    # The first was chosen on validation, and there it is compared.
    ours, theirs = ([RESULTS[T, seed][0] for seed in range(3)] for T in ("1", "4"))
    expected = stats.ttest_rel(ours, theirs)
    assert second["difference"]["low"] == pytest.approx(100 * expected.confidence_interval().low)
    assert second["difference"]["p"] == pytest.approx(expected.pvalue)
    assert first["difference"] is None


def test_what_a_run_was_not_told_is_its_configs_value(finished_run, tmp_path):
    told = made_run(finished_run, tmp_path / "a", ["loss.T=9"], 0, 0.8, 0.8, 0.7)
    plain = made_run(finished_run, tmp_path / "b", [], 0, 0.9, 0.9, 0.7)
    rows = compare([told, plain])["settings"]
    assert [row["settings"] for row in rows] == [{"loss.T": "4"}, {"loss.T": "9"}]


def test_text_formats_hold_the_same_numbers(sweep):
    content = compare([sweep])
    rows = list(csv.DictReader(io.StringIO(csv_text(content))))
    assert len(rows) == 6
    for row in rows:
        assert float(row["test"]) == RESULTS[row["loss.T"], int(row["train.seed"])][1]
    for text, sign in ((markdown(content), "|"), (latex(content), "&")):
        (line,) = (line for line in text.splitlines() if "89.00" in line)
        head = next(line for line in text.splitlines() if "loss.T" in line)
        assert line.count(sign) == head.count(sign)
    assert r"89.00\%" in latex(content)


def call(*words):
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code or 0


def test_the_verb_prints_a_table_and_names_what_is_missing(sweep, capsys):
    assert call("report", str(sweep)) == 0
    out = capsys.readouterr().out
    assert "6 runs by validation accuracy" in out
    assert re.search(r"\b4 +convnet +3 +91\.00% +89\.00% +\+13\.00 \[\+10\.52, \+15\.48\]", out)
    assert "6 is left out: failed: loss.T=0: must be above 0" in out
    assert call("report", str(sweep), "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["format"] == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "htm"], "did you mean 'html'?"),
        (["--format"], "--format"),
        (["nowhere"], "no such folder"),
    ],
)
def test_a_wrong_report_command_gives_one_line(sweep, capsys, words, told):
    assert call("report", str(sweep), *words) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert told in errors[0]


def test_nothing_finished_is_an_error(tmp_path):
    write_yaml(tmp_path / "sweep.yaml", {"format": 1})
    with pytest.raises(ConfigError, match="no finished run"):
        compare([tmp_path])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("loss.T", "4"),
        ("chain", "assistants"),
        ("chain.assistants", "[resnet14,resnet8]"),
        ("student", "mlp"),
        ("temperature", "constant"),
        ("train", "-"),
        ("train.nesterov", "true"),
        ("chain.assistants.0", "-"),
        ("no.such", "-"),
    ],
)
def test_a_setting_that_a_run_was_not_told_is_written_as_it_would_be_told(make_config, name, told):
    config = make_config("chain=assistants", "chain.assistants=[resnet14,resnet8]")
    assert configured(OmegaConf.structured(config), name) == told


def test_the_page_shows_the_figures_and_is_inert_for_hostile_settings(
    finished_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    folders = [
        str(made_run(finished_run, tmp_path / f"{a}{n}",
                     [f"loss.alpha={a}", f"[/b]note={HOSTILE}\x1b[31m{n}"], 0, 0.8, 0.8, 0.7))
        for a in (0.1, 0.5) for n in (1, 2)
    ]  # fmt: skip
    assert call("report", *folders, "--format", "html") == 0
    page = Page((tmp_path / "comparison.html").read_text())
    assert_alone_and_inert(page)
    assert len(page.all("figure")) == 2
    words = " ".join(page.text)
    assert "4 runs of convnet on digits" in words
    assert "Best by validation accuracy: loss.alpha=" in words
    assert call("report", *folders) == 0
    assert "\x1b[31m" not in capsys.readouterr().out


def test_the_latency_of_one_network_is_noise_and_no_cost():
    rows = [{"parameters": 9, "macs": 9, "latency_ms": ms, "threads": 1} for ms in (1.0, 2.0)]
    assert costs_of(rows) == []
    larger = rows[1] | {"macs": 18}
    assert costs_of([rows[0], larger]) == [COSTS[1], COSTS[2]]
    assert costs_of([rows[0], larger | {"threads": 2}]) == [COSTS[1]]


def test_the_pareto_front_is_what_nothing_beats():
    rows = [{"test": t, "cost": c} for t, c in [(0.9, 5), (0.8, 1), (0.85, 3), (0.7, 2), (0.9, 6)]]
    assert [(row["test"], row["cost"]) for row in pareto(rows, "cost")] == [
        (0.8, 1), (0.85, 3), (0.9, 5),
    ]  # fmt: skip


def test_single_seeds_are_compared_image_by_image(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / T, [f"loss.T={T}"], 0, validation, 0.86, 0.85)
        for T, validation in (("1", 0.900), ("2", 0.898), ("3", 0.890))
    ]
    content = compare(runs)
    first, second, third = content["settings"]
    assert (first["gain"]["test"], first["gain"]["only_ours"]) == ("mcnemar", 10)
    assert first["gain"]["p"] == pytest.approx(stats.binomtest(10, 10).pvalue)
    # 2 images apart, and 10 of which the first gets every one.
    assert second["difference"]["p"] == pytest.approx(0.5)
    assert third["difference"]["p"] == pytest.approx(2 / 1024)
    (ties,) = content["ties"]
    assert ties["tied"] == [{"loss.T": "2"}]
    told = " ".join(tie_notes(content))
    assert (
        "1 of the other 2 settings does not differ significantly from the best on validation"
        in told
    )
    assert "exact McNemar" in told
    assert told[1:] in lead(content)


def test_p_of_many_settings_are_adjusted_and_said_to_be(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / T, [f"loss.T={T}"], 0, validation, 0.9, 0.894)
        for T, validation in (("1", 0.9), ("2", 0.894), ("3", 0.893), ("4", 0.892))
    ]
    content = compare(runs)
    differences = [row["difference"] for row in content["settings"][1:]]
    raw = [2 / 2**6, 2 / 2**7, 2 / 2**8]
    assert [gain["p"] for gain in differences] == pytest.approx(raw)
    holm = [gain["p"] if gain["holm"] is None else gain["holm"] for gain in differences]
    assert holm == pytest.approx([raw[0], 2 * raw[1], 3 * raw[2]])
    assert "Holm-adjusted" in " ".join(notes(content))
    assert "Holm" not in " ".join(notes(compare(runs[:3])))


def test_runs_of_an_older_version_are_reported_without_what_they_do_not_hold(
    finished_run, tmp_path, capsys
):
    runs = [
        without_answers(made_run(finished_run, tmp_path / T, [f"loss.T={T}"], 0, v, 0.86, 0.85))
        for T, v in (("1", 0.9), ("2", 0.8))
    ]
    content = compare(runs)
    assert [row["gain"]["p"] for row in content["settings"]] == [None, None]
    assert content["settings"][0]["gain"]["points"] == pytest.approx(1.0)
    assert call("report", *map(str, runs)) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 could not be compared with the best" in out
    assert "has no record of correctly classified images" in out


def test_equal_accuracies_are_ranked_by_the_loss_on_validation(finished_run, tmp_path):
    runs = []
    for T, loss in (("1", 0.4), ("2", 0.2), ("3", 0.3)):
        runs.append(made_run(finished_run, tmp_path / T, [f"loss.T={T}"], 0, 0.9, 0.8, 0.7))
        summary = read_sealed(runs[-1] / "summary.json")
        for stage in summary["stages"]:
            stage["accuracy"]["best_validation_loss"] = loss
        write_sealed(runs[-1] / "summary.json", summary)
    rows = compare(runs)["settings"]
    assert [row["settings"]["loss.T"] for row in rows] == ["2", "3", "1"]


def test_the_heat_map_is_of_what_settings_are_chosen_by(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / f"{T}{a}", [f"loss.T={T}", f"loss.alpha={a}"], 0,
                 0.5 + a / 10, 0.9, 0.7)
        for T in (1, 2) for a in (1, 2)
    ]  # fmt: skip
    heat = next(iter(comparison_figures(compare(runs))))
    assert heat.title.startswith("Validation accuracy")
    assert "from 60.00 to 70.00" in heat.alt


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["stages"][0]["splits"]["test"].update(right="AA=="),
        lambda content: content["stages"][0]["splits"]["test"].update(right=3),
        lambda content: content["stages"][0]["splits"]["test"].update(images=-8),
        lambda content: content.update(stages=3),
    ],
)
def test_sealed_nonsense_about_right_images_is_refused(finished_run, tmp_path, change):
    folder = made_run(finished_run, tmp_path / "run", [], 0, 0.8, 0.8, 0.7)
    content = read_sealed(folder / "correct.json")
    change(content)
    write_sealed(folder / "correct.json", content)
    seal_again(folder)
    with pytest.raises(DamagedError, match=r"correct\.json is not of this kdrun"):
        compare([folder])


def on_other_images(folder):
    """As a run whose test images were replaced."""
    models = {
        place: {split: replace(one, source=f"other {split}") for split, one in splits.items()}
        for place, splits in read_correct(folder).items()
    }
    write_correct(folder, models)
    seal_again(folder)
    return folder


def test_seeds_that_were_tested_on_other_images_are_not_pooled(finished_run, tmp_path, capsys):
    runs = [
        made_run(finished_run, tmp_path / str(n), [f"train.seed={n}"], n, 0.9, 0.9, 0.85)
        for n in range(4)
    ]
    on_other_images(runs[3])
    content = compare(runs)
    rows = [(row["dataset"], row["seeds"], row["difference"]) for row in content["settings"]]
    assert rows == [("digits", 3, None), ("digits (other images)", 1, None)]
    (line,) = content["tested_images"]
    assert line.endswith(f"not averaged, paired or ranked with them: {runs[3]}")
    assert call("report", *map(str, runs)) == 0
    out = capsys.readouterr().out
    assert "tested on different images than the rest" in out
    assert "other images" in markdown(content)


def test_equal_settings_and_seeds_on_other_images_are_no_repeat(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / str(n), ["loss.T=1"], 0, 0.8, 0.8, 0.7) for n in (0, 1)
    ]
    on_other_images(runs[1])
    content = compare(runs)
    assert content["repeated"] == []
    assert [row["seeds"] for row in content["settings"]] == [1, 1]


def test_settings_on_other_validation_images_have_no_difference(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / f"{T}{n}", [f"loss.T={T}", f"train.seed={n}"], n,
                 0.9 - n / 100 - T / 50, 0.9, 0.85)
        for T in (1, 2) for n in (0, 1)
    ]  # fmt: skip
    for folder in runs[2:]:
        models = {
            place: splits | {"validation": replace(splits["validation"], source="others")}
            for place, splits in read_correct(folder).items()
        }
        write_correct(folder, models)
        seal_again(folder)
    content = compare(runs)
    assert [row["difference"] for row in content["settings"]] == [None, None]
    assert "their validation images differ" in " ".join(tie_notes(content))


def test_differences_of_fewer_seeds_say_so(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / f"{T}{n}", [f"loss.T={T}", f"train.seed={n}"], n,
                 validation, 0.9, 0.85)
        for T, n, validation in ((1, 0, 0.8), (1, 1, 0.99), (2, 0, 0.89))
    ]  # fmt: skip
    content = compare(runs)
    assert content["settings"][1]["settings"] == {"loss.T": "2"}
    assert "+9.00 " in markdown(content)
    assert " of 1 shared seed " in markdown(content)
    told = " ".join(tie_notes(content))
    assert "worse" not in told
    assert "loss.T=2 (of 1 shared seed)" in told
    assert "val and test are means over all seeds of a row" in " ".join(notes(content))


def test_the_column_by_which_rows_are_in_order_stays_in_a_narrow_terminal(sweep):
    content = compare([sweep])
    narrow = Console(width=80, file=io.StringIO())
    narrow.print(table(content))
    lines = narrow.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(" val " in line for line in lines)
    assert "no room for deviation, MACs" in lines[-1]


def test_seeds_of_a_run_are_not_counted_as_runs(sweep):
    content = compare([sweep])
    assert runs_words(content) == "6 runs"
    assert runs_words(content | {"counted": 2}) == "2 runs (6 seeds)"


def test_a_seed_of_several_that_is_left_out_is_named():
    rows = [
        {"run": run, "dataset": "digits", "settings": {"train.seed": seed}, "seed": seed, "test": 1}
        for run, seed in (("a", "0"), ("b", "0"), ("b", "1"), ("c", "0"))
    ]
    kept, repeated = without_repeats(rows, ["train.seed"])
    assert len(kept) == 2
    assert [(one["run"], one["seed"]) for one in repeated] == [("b", "0"), ("c", None)]


def test_the_title_counts_the_runs_of_the_table(finished_run, tmp_path):
    runs = [
        made_run(finished_run, tmp_path / str(n), ["loss.T=1"], 0, 0.8, 0.8, 0.7) for n in (0, 1)
    ]
    assert title(compare(runs)).startswith("1 run of")
