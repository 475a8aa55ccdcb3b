"""`report.html` of a run: a self-contained page, and its figures as files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdrun.errors import DamagedError, first_line
from kdrun.report import model_plots, page_tables, pair_plots, training_plots
from kdrun.report.diagnosis import diagnosis
from kdrun.report.figure import Plot, house_style, label
from kdrun.report.findings import verdict
from kdrun.report.html import render, weights_words
from kdrun.report.model_rows import mean_rows, stage_rows
from kdrun.report.result_table import control_note
from kdrun.report.run_files import MALFORMED, RunFiles, read_run_files
from kdrun.store.files import write_atomic
from kdrun.store.folders import make_folder, remove_leftovers
from kdrun.store.run_folder import PLOTS, REPORT
from kdrun.store.summary import seeds, student_place


def write_report(folder: Path) -> Path:
    """Write the page of a finished run and return its path.

    Raises:
        ConfigError: there is no finished run.
        DamagedError: a file is malformed.
        OutputError: the page cannot be written.
    """
    files = read_run_files(folder)
    try:
        plots = run_plots(files)
        page = render("run.html.jinja", page_content(files, plots))
    except MALFORMED as error:
        reason = first_line(error)
        raise DamagedError(
            f"{folder}: files not written by this version of kdrun ({reason})"
        ) from error
    write_plots(folder / PLOTS, plots)
    write_atomic(folder / REPORT, page.encode())
    return folder / REPORT


def write_plots(folder: Path, plots: list[Plot]) -> None:
    """Write every figure as SVG and PNG."""
    remove_leftovers(make_folder(folder, folder.parent))
    for plot in plots:
        write_atomic(folder / f"{plot.name}.svg", plot.svg)
        write_atomic(folder / f"{plot.name}.png", plot.png)


def run_plots(files: RunFiles) -> list[Plot]:
    """The figures that the run has data for."""
    with house_style():
        return [*_training(files), *_analysis(files)]


def _training(files: RunFiles) -> Iterator[Plot]:
    if not files.metrics:
        return
    place, lines = student_place(files.summary), files.metrics
    yield training_plots.accuracy_plot(lines)
    epochs = training_plots.by_stage(lines).get(place)
    if epochs:
        yield training_plots.loss_plot(lines, place)
        if epochs[0]["T"] is not None:
            yield training_plots.temperature_plot(lines, place, _teacher_model(files, place))


def _teacher_model(files: RunFiles, place: int) -> dict[str, Any] | None:
    if files.analysis is None:
        return None
    of = main_pairs(files).get("teacher")
    models = files.analysis["models"]
    return of and next(model for model in models if model["stage"] == of["other"]["stage"])


def _analysis(files: RunFiles) -> Iterator[Plot]:
    analysis = files.analysis
    if analysis is None:
        return
    pairs = main_pairs(files)
    seed = analysis["models"][0].get("seed")
    models = [model for model in analysis["models"] if model.get("seed") == seed]
    yield model_plots.reliability_plot(models[:6])
    if taught := taught_by(pairs):
        teacher = what_taught(analysis, taught)
        yield model_plots.knowledge_plot(teacher)
        yield model_plots.similarity_plot(teacher)
        yield pair_plots.probe_plot(taught)
        yield from _inside(pairs["teacher"])
    for pair in pairs.values():
        if pair["splits"]["test"]["confusions"]:
            yield pair_plots.confusion_plot(pair, analysis["class_names"], models)


def _inside(pair: dict[str, Any]) -> Iterator[Plot]:
    if pair["inside"]:
        yield pair_plots.cka_plot(pair)
        if pair["inside"]["attention"]:
            yield pair_plots.attention_plot(pair)


def taught_by(pairs: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The comparison of the student with its teacher, or with the ensemble of all its teachers."""
    return pairs.get("ensemble") or pairs.get("teacher")


def what_taught(analysis: dict[str, Any], pair: dict[str, Any]) -> dict[str, Any]:
    """The teacher or ensemble of the comparison; the first one if unknown."""
    teachers: list[dict[str, Any]] = analysis["teachers"]
    places = places_of(pair["other"])
    return next((one for one in teachers if places_of(one) == places), teachers[0])


def places_of(labelled: dict[str, Any]) -> list[int]:
    """Places of the stages in a label of the analysis."""
    stages = labelled.get("stages")
    return [labelled["stage"]] if stages is None else list(stages)


def main_pairs(files: RunFiles) -> dict[str, dict[str, Any]]:
    """The first comparison of the run's student for each known kind."""
    assert files.analysis is not None
    place = student_place(files.summary)
    found: dict[str, dict[str, Any]] = {}
    for pair in files.analysis["pairs"]:
        if pair["student"]["stage"] == place and pair["kind"] in KINDS:
            found.setdefault(pair["kind"], pair)
    return found


KINDS = ("teacher", "ensemble", "origin", "control", "direct")


def page_content(files: RunFiles, plots: list[Plot]) -> dict[str, Any]:
    """Values for the template."""
    summary, analysis = files.summary, files.analysis
    place = student_place(summary)
    pairs = main_pairs(files) if analysis else {}
    teacher, taught = pairs.get("teacher"), taught_by(pairs)
    return {
        "title": page_tables.title(summary),
        "recipe": files.config.get("recipe", "none"),
        "folder": files.folder.name,
        "seeds": ", ".join(map(str, seeds(summary))),
        "dataset": summary["dataset"],
        "images": summary["test_images"],
        "verdict": verdict(summary),
        "diagnosis": diagnosis(summary, files.metrics, files.choices),
        "weights": weights_words(s["accuracy"]["best_validation"] for s in summary["stages"]),
        "chosen_note": page_tables.chosen_note(summary["stages"]),
        "noise": page_tables.noise_note(files.config),
        "stages": stage_rows(files),
        "means": mean_rows(files) if len(seeds(summary)) > 1 else [],
        "control_note": control_note(summary),
        "shown": label(summary["stages"][place]),
        "plots": plots,
        "measured": analysis is not None,
        "pairs": page_tables.pair_rows(analysis) if analysis else [],
        "ladder": page_tables.ladder(taught, len(analysis["class_names"]))
        if taught and analysis
        else [],
        "generations": page_tables.generations(summary),
        "chains": page_tables.chains(analysis) if analysis else [],
        "chain_heading": "Chain" if "chain" in summary else "From teacher to student",
        "matched": teacher["inside"]["matched"] if teacher and teacher["inside"] else [],
        "relations": teacher["inside"] if teacher else None,
        "taught": [label(taught["student"]), label(taught["other"])] if taught else [],
        "examples": page_tables.example_groups(analysis, place) if analysis else [],
        "warnings": analysis["warnings"] if analysis else [],
        "config": files.config_text,
        "environment": page_tables.environment_rows(files.environment),
    }
