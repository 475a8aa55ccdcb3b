"""Settings that diagnoses advise are ones that kdrun takes in such a run."""

import re
from functools import cache

import pytest

from kdrun.config.compose import compose_job
from kdrun.config.parse import parse
from kdrun.report.diagnosis import diagnosis
from kdrun.report.metric_terms import HIDDEN, LABELS, SOFT, term_name
from tests.report.test_diagnosis import SURE, born_again, epochs, hidden, several_seeds, stage

SETTING = re.compile(r"[a-z][\w.]*=(?:\[[^\]]*\]|[^\s,;]+)")
RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9]
FALLING = [0.5, 0.9, 0.95, 0.94, 0.9, 0.85, 0.8, 0.8, 0.8, 0.8]
EXPLODED = [2.3, 30.0, *[100.0] * 8]
UNIFORM = SURE | {"entropy": {"1": 0.93, "32": 1.0}}


def run(values=None, losses=None, chained=False, **more):
    """A run in which every stage has these epochs: summary and metrics."""
    roles = ("teacher", *["assistant"] * chained, "student", *["direct"] * chained, "control")
    steps = {"teacher": 0, "assistant": 1}
    last = 1 + chained
    stages = [stage(role, 0.95, step=steps.get(role, last), **more) for role in roles]
    metrics = [
        line
        for place in range(len(stages))
        for line in (
            epochs(place, losses=losses) if values is None else epochs(place, values, losses)
        )
    ]
    summary = {"seed": 0, "seeds": [], "test_images": 10_000, "stages": stages}
    return summary | ({"chain": []} if chained else {}), metrics


def lost(name, chained):
    """A run whose student lost by a term on hidden states."""
    summary, metrics = run(chained=chained, certainty=SURE)
    place = [one["role"] for one in summary["stages"]].index("student")
    summary["stages"][place]["accuracy"]["test_at_best_validation"] = 0.5
    gain = {"model": "student net", "over": "control net", "split": "test", "points": -45.0}
    gain |= {"low": -46.0, "high": -44.0, "p": 0.0, "test": "mcnemar", "seeds": 1}
    summary["gains"] = [gain | {"only_ours": 10, "only_theirs": 4510}]
    return summary, [line for line in metrics if line["stage"] != place] + hidden(
        place, name, 0.9, 5
    )


def cases():
    for chained in (False, True):
        yield chained, run(chained=chained)
        yield chained, run(RISING, chained=chained, certainty=SURE)
        yield chained, run(FALLING, chained=chained, certainty=SURE)
        yield chained, run([0.1] * 10, EXPLODED, chained=chained)
        yield chained, run(chained=chained, certainty=UNIFORM)
        yield chained, run(chained=chained, certainty=UNIFORM, epochs=0)
        for name in ("hint", "attention", "distance", "angle"):
            yield chained, lost(name, chained)
    yield False, (several_seeds([0.96, 0.94, 0.95], [0.95, 0.95, 0.94], 500), [])


@cache
def accepted(*words):
    """Whether a run of these settings passes every check; raises what the command line tells."""
    return parse(compose_job(words)) is not None


CHAINED = ("chain=assistants", "chain.assistants=[resnet14]", "teacher=resnet20", "student=resnet8")


@pytest.mark.parametrize(("chained", "content"), list(cases()))
def test_every_line_ends_in_a_setting_that_is_accepted(chained, content):
    lines = diagnosis(*content)
    assert lines
    for line in lines:
        settings = SETTING.findall(line.rpartition(": ")[2])
        assert settings, line
        assert accepted(*(CHAINED if chained else ["student=mlp"]), *settings)


@pytest.mark.parametrize("T", ["inf", 200.0])
def test_what_is_advised_to_generations_is_accepted(T):
    lines = diagnosis(*born_again(last=0.9, T=T))
    assert lines
    for line in lines:
        settings = SETTING.findall(line.rpartition(": ")[2])
        assert accepted("student=mlp", "chain=born_again", "loss=kd", *settings)


def test_a_control_of_a_chain_is_given_the_epochs_of_its_pupil():
    summary, metrics = run(RISING, chained=True, certainty=SURE)
    for one in summary["stages"]:
        one["epochs"] = 20 if one["role"] in ("control", "direct") else 10
    told = [line for line in diagnosis(summary, metrics) if line.startswith("control")]
    assert told[0].endswith(": chain.stage.2.train.epochs=20")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (SOFT, ("soft", "kl", "dkd", "dist", "nkd", "wsl", "logit_mse", "teacher_argmax")),
        (LABELS, ("hard", "cross_entropy")),
        (HIDDEN, ("hint", "attention", "distance", "angle", "rkd_distance", "rkd_angle")),
    ],
)
def test_terms_are_known_by_their_former_and_their_later_names(kind, names):
    assert {term_name(name).kind for name in names} == {kind}
    assert term_name("something else") is None
