"""Whatever stands behind a key, kdrun takes it or refuses it in a line; nothing else is raised."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.config.compose import compose_job
from kdrun.config.parse import keys, parse
from kdrun.errors import ConfigError, KdrunError
from kdrun.runs.plan_sizes import plan_for
from kdrun.runs.prepare import make_contexts, make_stage_runs
from kdrun.runs.runner import run
from kdrun.signals import StopRequest

TINY = (
    *("analysis=off",),  # a page for each run would take longer than the runs
    *("dataset=fake", "dataset.num_images=40", "dataset.image_size=8", "dataset.num_classes=2"),
    *("teacher=mlp", "teacher.width=4", "student=mlp", "student.width=4", "train.epochs=1"),
    *("train.device=cpu", "teacher.min_accuracy=0"),
)
KEYS = sorted(keys())
LARGE = {f"{model}.{name}" for model in ("teacher", "student") for name in ("width", "depth")} | {
    *("dataset.num_images", "dataset.image_size", "dataset.num_classes", "train.epochs"),
    *("train.workers", "train.threads"),
}
ODD = (
    *(
        None,
        True,
        False,
        "",
        "x",
        " ",
        "a b",
        "a\nb",
        "\x00",
        "é漢字",
        "'\"",
        "=,:",
        "~",
        "/",
        "../..",
    ),
    *(-1, 0, 1, 2, 0.5, 10**30, -(10**30), 1e308, float("nan"), float("inf"), -float("inf")),
    *("nan", "inf", "1e3", "0x10", "2001-01-01", "null", "true", "x" * 5000, "cuda:99", "meta"),
    *("${oc.env:HOME}", "${nowhere}", "${", "${train}", "${dataset.${x}}", "???", "1min", "0steps"),
    *([], [1], ["x"], [None], [[1]], [float("nan")], {}, {"a": 1}, {"_target_": "os._exit"}),
)
VALUES = st.one_of(
    st.sampled_from(ODD),
    st.integers(-3, 300),
    st.floats(-2, 2),
    st.text(max_size=9),
    st.lists(st.sampled_from(["mlp", "kl", 1, 0.5, None]), max_size=3),
)
QUIET = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def tiny():
    """A config that runs in an instant."""
    return compose_job(TINY)


def changed(tiny, key, value):
    """The config with another value, or None where OmegaConf itself has no place for it."""
    composed = tiny.copy()
    try:
        OmegaConf.set_struct(composed, False)
        OmegaConf.update(composed, key, value, merge=False)
    except (OmegaConfBaseException, ValueError):
        return None
    return composed


def accepted(composed):
    """The config, or None where it was refused as it should be."""
    try:
        return parse(composed)
    except ConfigError as error:
        told = str(error)
    assert told
    assert len(told.splitlines()) <= 3
    return None


@settings(QUIET, max_examples=200)
@given(st.sampled_from(KEYS), VALUES)
def test_any_value_is_taken_or_refused(tiny, key, value):
    composed = changed(tiny, key, value)
    if composed is not None:
        accepted(composed)


@settings(QUIET, max_examples=12)
@given(st.sampled_from(KEYS), st.one_of(st.sampled_from(ODD).map(str), st.text(max_size=9)))
def test_any_text_on_the_command_line_is_taken_or_refused(key, text):
    told = "one line"
    try:
        accepted(compose_job([*TINY, f"{key}={text}"]))
    except ConfigError as error:
        told = str(error)
    assert len(told.splitlines()) == 1


def carried_out(config, work):
    """Plan the config and run it; whatever it cannot do it says."""
    root = Path(tempfile.mkdtemp(dir=work))
    with contextlib.suppress(KdrunError):
        run(config, root / "run", [])
    shutil.rmtree(root)


@settings(QUIET, max_examples=100)
@given(st.sampled_from(KEYS), VALUES)
def test_what_is_taken_can_be_planned_or_is_refused(tiny, key, value):
    composed = changed(tiny, key, value)
    config = composed and accepted(composed)
    if config is None or (key in LARGE and isinstance(value, int) and value > 100):
        return
    with contextlib.suppress(KdrunError):
        per_seed = make_contexts(config, StopRequest())
        shape = next(iter(per_seed.values())).data.shape
        make_stage_runs(plan_for(config, shape), per_seed)


@pytest.mark.slow
@settings(QUIET, max_examples=150)
@given(st.sampled_from(KEYS), VALUES)
def test_what_is_taken_can_be_run_or_is_refused(tiny, tmp_path, monkeypatch, key, value):
    monkeypatch.chdir(tmp_path)
    composed = changed(tiny, key, value)
    config = composed and accepted(composed)
    heavy = key in (*LARGE, "train.compile")
    if config is not None and not (heavy and isinstance(value, int) and value > 10):
        if key != "output_root":
            config.output_root = str(tmp_path / "outputs")
        carried_out(config, tmp_path)
