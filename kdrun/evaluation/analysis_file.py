"""The content of `analysis.json`: all measures of a run."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median_high
from typing import Any

from kdrun.data.dataset import ImageData
from kdrun.evaluation.chain_costs import chain_costs, chain_to
from kdrun.evaluation.comparisons import TAUGHT, TEACHER, Comparison, comparisons, pair_measures
from kdrun.evaluation.disagreements import examples
from kdrun.evaluation.hidden_states import Opened, inside_measures
from kdrun.evaluation.latency import cpu_latency
from kdrun.evaluation.model_measures import knowledge_measures, model_measures, similarity_measures
from kdrun.evaluation.run_predictions import RunPredictions
from kdrun.store.files import read_json_lines, strict, write_sealed
from kdrun.store.run_folder import ANALYSIS, METRICS
from kdrun.training.context import RunContext, StageRun
from kdrun.training.stage_model import build, load_finished, without_weights

FULL = "full"


def write_analysis(folder: Path, run: RunPredictions, level: str) -> None:
    """Measure the finished stages of a run at level `basic` or `full`.

    Raises:
        DamagedError: a stage is damaged.
        Stopped: a signal requested it.
    """
    write_sealed(folder / ANALYSIS, Analysis(run, level).content())


@dataclass(frozen=True)
class Analysis:
    """The measures of a run's models.

    Attributes:
        level: `basic` or `full`.
    """

    run: RunPredictions
    level: str

    @property
    def stage_runs(self) -> Sequence[StageRun]:
        """The run's stages."""
        return self.run.stage_runs

    def content(self) -> dict[str, Any]:
        """The whole analysis as strict JSON data."""
        compared = comparisons([stage_run.stage for stage_run in self.stage_runs])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            measured = {
                "models": [self.model(place) for place in range(len(self.stage_runs))],
                "teachers": [
                    self.teacher(places, student) for places, student in teaching(compared).items()
                ],
                "pairs": [self.pair(one) for one in compared],
                "chains": [self.chain(one.student) for one in last_taught(compared)],
                "examples": [self.examples(one) for one in last_taught(compared)],
            }
        data = self.data
        return strict(
            {
                "format": 1,
                "level": self.level,
                "dataset": data.name,
                "class_names": list(data.class_names),
                "hashes": [stage_run.digest for stage_run in self.stage_runs],
                **measured,
                "warnings": list(dict.fromkeys(str(one.message) for one in caught)),
            }
        )

    @property
    def data(self) -> ImageData:
        """The data set; all seeds have the same test images."""
        return next(iter(self.run.contexts.values())).data

    def label(self, place: int) -> dict[str, Any]:
        """Label of a stage."""
        return self.run.label((place,))

    def model(self, place: int) -> dict[str, Any]:
        """Sizes, latency and measures of a single model."""
        stage_run = self.stage_runs[place]
        sizes: dict[str, Any] = {
            "parameters": stage_run.parameters,
            "macs": stage_run.macs,
        }
        network, normalizer = load_finished(stage_run, self.run.contexts[stage_run.stage.seed])
        image = normalizer(next(iter(self.data.test.batches(2))).images[:1])
        sizes |= {"latency": cpu_latency(network, image)}
        chosen = not stage_run.stage.pretrained
        return self.label(place) | sizes | model_measures(self.run.of(place), chosen)

    def teacher(self, places: tuple[int, ...], student: int) -> dict[str, Any]:
        """Dark knowledge and class similarity of a teacher or ensemble at its student's T."""
        T, used = temperature_of(self.stage_runs[student])
        labels = {split: one.labels for split, one in self.run.of(places[0]).items()}
        softened = partial(self.run.softened, places)
        knowledge = knowledge_measures(softened, labels, T, self.level == FULL)
        return self.run.label(places) | {
            "knowledge": knowledge | {"T_range": used},
            "similarity": similarity_measures(
                softened("test", T), labels["test"], T, self.data.class_names
            ),
        }

    def pair(self, one: Comparison) -> dict[str, Any]:
        """Comparison of a student with another model."""
        (T, used), full = temperature_of(self.stage_runs[one.student]), self.level == FULL
        splits = pair_measures(self.run, one, [T, *(used or ())], full)
        inside = self.inside(one) if full and one.kind == TEACHER else None
        ends = {"student": self.label(one.student), "other": self.run.label(one.others)}
        temperature = {"T": T, "T_range": used}
        return {"kind": one.kind, **temperature, **ends, "splits": splits, "inside": inside}

    def inside(self, one: Comparison) -> Any:
        """Comparison of a student's layers with its teacher's."""
        stage_run = self.stage_runs[one.student]
        context = self.run.contexts[stage_run.stage.seed]
        student, teacher = (opened(self.stage_runs[n], context) for n in (one.student, *one.others))
        untrained = build(without_weights(stage_run.stage), context.data.shape, None).to(
            context.device
        )
        start = replace(student, network=untrained)
        return inside_measures(student, teacher, start, context)

    def chain(self, place: int) -> dict[str, Any]:
        """Costs of each step of a student's chain on the test images."""
        chain = chain_to(self.stage_runs, place)
        costs = chain_costs(self.run, chain)["test"]
        return {
            "stages": [self.chain_model(step) for step in chain],
            "steps": costs["steps"],
            **costs["total"],
        }

    def chain_model(self, places: Sequence[int]) -> dict[str, Any]:
        """A model of a chain, or the ensemble at its head."""
        test = self.run.of_all(places)["test"]
        return self.run.label(places) | {
            "parameters": sum(self.stage_runs[place].parameters for place in places),
            "accuracy": test.correct / test.images,
        }

    def examples(self, one: Comparison) -> dict[str, Any]:
        """Test images on which a student and its teacher disagree."""
        data = self.data
        shown = examples(
            self.run.of(one.student)["test"],
            self.run.of_all(one.others)["test"],
            data.test,
            data.class_names,
        )
        ends = {"student": self.label(one.student), "teacher": self.run.label(one.others)}
        return ends | {"images": shown}


def opened(stage_run: StageRun, context: RunContext) -> Opened:
    """Load a finished model for inspection."""
    return Opened(stage_run.stage.model.arch, *load_finished(stage_run, context))


def temperature_of(stage_run: StageRun) -> tuple[float, list[float] | None]:
    """Median T over a distilled stage's epochs, and its range.

    The range is None if no loss term reads T.
    """
    temperatures = (line["T"] for line in read_json_lines(stage_run.folder / METRICS))
    used = [float(T) for T in temperatures if T is not None]
    return (median_high(used), [min(used), max(used)]) if used else (stage_run.stage.loss.T, None)


def teaching(compared: Sequence[Comparison]) -> dict[tuple[int, ...], int]:
    """Map each teacher or ensemble to its first student."""
    found: dict[tuple[int, ...], int] = {}
    for one in compared:
        if one.kind in TAUGHT:
            found.setdefault(one.others, one.student)
    return found


def last_taught(compared: Sequence[Comparison]) -> list[Comparison]:
    """Comparisons of the final students with all their teachers."""
    taught = [one for one in compared if one.kind in TAUGHT]
    teach = {place for one in taught for place in one.others}
    return list({one.student: one for one in taught if one.student not in teach}.values())
