"""All measures of a run, as the content of `analysis.json`."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from kdrun.analysis import chain_differences, mean_kl, negative_log_likelihood
from kdrun.data.image_data import ImageData
from kdrun.errors import Stopped
from kdrun.files import json_number, write_sealed
from kdrun.finished_model import load_finished
from kdrun.job import Job, Setting, Settings, predictor
from kdrun.latency import cpu_latency
from kdrun.measurement.answers import (
    SPLITS,
    Answers,
    collect,
    split_batches,
    split_size,
    stride_for,
)
from kdrun.measurement.examples import examples
from kdrun.measurement.inside import Opened, inside_measures
from kdrun.measurement.models import knowledge_measures, model_measures, similarity_measures
from kdrun.measurement.pairs import TEACHER, Comparison, comparisons, pair_measures
from kdrun.run_folder import ANALYSIS
from kdrun.run_record import placed_label
from kdrun.stage import bare, build
from kdrun.temperature import softmax_with_temperature

FULL = "full"


def write_analysis(folder: Path, jobs: Sequence[Job], settings: Settings, level: str) -> None:
    """Measure the finished stages of a run, `level` being `basic` or `full`.

    Raises:
        DamagedError: a stage is not as it was written.
    """
    write_sealed(folder / ANALYSIS, Analysis(jobs, settings, level).content())


@dataclass
class Analysis:
    """The models of a run with their answers, each asked once.

    Attributes:
        level: `basic` or `full`.
    """

    jobs: Sequence[Job]
    settings: Settings
    level: str
    answers: dict[str, dict[str, Answers]] = field(default_factory=dict)

    def of(self, place: int) -> Mapping[str, Answers]:
        """The answers of a stage's model to each split."""
        job = self.jobs[place]
        if job.digest not in self.answers:
            self.answers[job.digest] = ask(job, self.settings[job.stage.seed])
        return self.answers[job.digest]

    def content(self) -> dict[str, Any]:
        """Everything, as strict JSON data."""
        compared = comparisons([job.stage for job in self.jobs])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            measured = {
                "models": [self.model(place) for place in range(len(self.jobs))],
                "teachers": [
                    self.teacher(place, T) for place, T in teaching(self.jobs, compared).items()
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
                **measured,
                "warnings": list(dict.fromkeys(str(one.message) for one in told)),
            }
        )

    @property
    def data(self) -> ImageData:
        """The images; all seeds have the same test images."""
        return next(iter(self.settings.values())).data

    def label(self, place: int) -> dict[str, Any]:
        """Which stage it is."""
        return placed_label(place, self.jobs[place].stage)

    def model(self, place: int) -> dict[str, Any]:
        """A model by itself."""
        job = self.jobs[place]
        sizes: dict[str, Any] = {
            "parameters": job.parameters,
            "macs": job.macs,
        }
        network, normalizer = load_finished(job, self.settings[job.stage.seed])
        image = normalizer(next(iter(self.data.test.batches(2))).images[:1])
        sizes |= {"latency": cpu_latency(network, image)}
        return self.label(place) | sizes | model_measures(self.of(place))

    def teacher(self, place: int, T: float) -> dict[str, Any]:
        """What a model has to teach."""
        names = self.data.class_names
        similarity = similarity_measures(self.of(place)["test"], T, names)
        knowledge = knowledge_measures(self.of(place), T, self.level == FULL)
        return self.label(place) | {"knowledge": knowledge, "similarity": similarity}

    def pair(self, one: Comparison) -> dict[str, Any]:
        """A student beside another model."""
        T, full = self.jobs[one.student].stage.loss.T, self.level == FULL
        splits = pair_measures(self.of(one.student), self.of(one.other), T, full)
        inside = self.inside(one) if full and one.kind == TEACHER else None
        ends = {"student": self.label(one.student), "other": self.label(one.other)}
        return {"kind": one.kind, "T": T, **ends, "splits": splits, "inside": inside}

    def inside(self, one: Comparison) -> Any:
        """The layers of a student beside its teacher's."""
        job = self.jobs[one.student]
        setting = self.settings[job.stage.seed]
        student, teacher = (opened(self.jobs[n], setting) for n in (one.student, one.other))
        untrained = build(bare(job.stage), setting.data.shape, None).to(setting.device)
        start = replace(student, network=untrained)
        return inside_measures(student, teacher, start, setting)

    def chain(self, place: int) -> dict[str, Any]:
        """Loss and error from the head of a student's chain, model by model, on the test images."""
        stages = [place]
        while self.jobs[stages[0]].stage.teachers:
            stages.insert(0, self.jobs[stages[0]].stage.teachers[0])
        tests = [self.of(number)["test"] for number in stages]
        probs = [softmax_with_temperature(one.logits.double(), 1.0) for one in tests]
        differences = chain_differences(
            [negative_log_likelihood(p, one.labels) for p, one in zip(probs, tests, strict=True)],
            [1 - one.correct / one.images for one in tests],
            [mean_kl(student, teacher) for teacher, student in pairwise(probs)],
        )
        return {
            "stages": [self.label(number) for number in stages],
            "steps": [asdict(step) for step in differences.steps],
            "loss_difference": differences.loss_difference,
            "error_difference": differences.error_difference,
        }

    def examples(self, one: Comparison) -> dict[str, Any]:
        """Test images that a student and its teacher take for different classes."""
        data = self.data
        shown = examples(
            self.of(one.student)["test"], self.of(one.other)["test"], data.test, data.class_names
        )
        ends = {"student": self.label(one.student), "teacher": self.label(one.other)}
        return ends | {"images": shown}


def ask(job: Job, setting: Setting) -> dict[str, Answers]:
    """One pass over each split; of the training images a sample.

    Raises:
        Stopped: a signal asked for it.
    """
    predict, data = predictor(*load_finished(job, setting), setting), setting.data
    found = {}
    for split in SPLITS:
        if setting.stop:
            raise Stopped(f"stopped while measuring {job.title}")
        size = split_size(data, split)
        if size:
            batches = split_batches(data, split, job.stage.train.eval_batch_size)
            found[split] = collect(predict, batches, stride_for(size, len(data.class_names)))
    return found


def opened(job: Job, setting: Setting) -> Opened:
    """A finished model to look into."""
    return Opened(job.stage.model.arch, *load_finished(job, setting))


def teaching(jobs: Sequence[Job], compared: Sequence[Comparison]) -> dict[int, float]:
    """The stages that teach, with the T at which the first of their students learns."""
    found: dict[int, float] = {}
    for one in compared:
        if one.kind == TEACHER:
            found.setdefault(one.other, jobs[one.student].stage.loss.T)
    return found


def last_taught(compared: Sequence[Comparison]) -> list[Comparison]:
    """Of every taught stage that teaches no other, the comparison with its first teacher."""
    teach = {one.other for one in compared if one.kind == TEACHER}
    first: dict[int, Comparison] = {}
    for one in compared:
        if one.kind == TEACHER and one.student not in teach:
            first.setdefault(one.student, one)
    return list(first.values())


def strict(value: Any) -> Any:
    """Plain JSON data: tuples as lists, and numbers that JSON lacks as words."""
    if isinstance(value, Mapping):
        return {str(key): strict(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [strict(one) for one in value]
    return json_number(value) if isinstance(value, float) else value
