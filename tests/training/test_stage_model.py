import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from kdrun.errors import ConfigError, WeightsError
from kdrun.models.build import build_model
from kdrun.plan.build import build_plan
from kdrun.runs.prepare import make_context, make_contexts, make_stage_runs
from kdrun.signals import StopRequest
from kdrun.training.stage_model import build, placed

CPU = torch.device("cpu")


@pytest.fixture
def made(make_config):
    """The student of a config, placed, and a batch for it."""

    def made(*overrides):
        config = make_config("train.device=cpu", "student=resnet8", *overrides)
        context = make_context(config, StopRequest())
        stage = replace(build_plan(config)[1], teachers=())
        network = build(stage, context.data.shape, None)
        network, normalizer = placed(network, stage, context.data, None, CPU)
        batch = next(iter(context.data.train.batches(64)))
        return network.train(), normalizer, batch

    return made


@pytest.mark.parametrize("name", ["digits", "fake"])
def test_without_channels_last_every_convolution_computes_contiguously(made, name):
    layouts = {}

    def note(layout, module, given, result):
        # A single channel or pixel fits both layouts: the widest tells.
        if min(result.shape[1:]) > 1:
            layouts.setdefault(layout, []).append(result.is_contiguous())

    for layout in ("true", "false"):
        network, normalizer, batch = made(f"train.channels_last={layout}", f"dataset={name}")
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                module.register_forward_hook(partial(note, layout))
        network(normalizer(batch.images)).sum().backward()
    assert layouts["false"]
    assert all(layouts["false"])
    assert not any(layouts["true"])


def test_contiguous_gradients_are_those_of_float64_and_more_exact(made):
    errors = {}
    for layout in ("true", "false"):
        network, normalizer, batch = made(
            f"train.channels_last={layout}", "dataset=fake", "dataset.num_images=300"
        )
        exact = copy.deepcopy(network).double()
        images = normalizer(batch.images)
        for model, given in ((network, images), (exact, images.double())):
            nn.functional.cross_entropy(model(given), batch.labels).backward()
        found, wanted = (
            torch.cat([p.grad.double().flatten() for p in model.parameters()])
            for model in (network, exact)
        )
        errors[layout] = ((found - wanted).norm() / wanted.norm()).item()
    assert errors["false"] < 1e-4
    assert errors["false"] <= errors["true"]


def test_a_given_normalisation_replaces_the_datas_and_is_part_of_the_identity(make_config):
    def stage_runs(*overrides):
        config = make_config("train.device=cpu", "teacher=resnet8", *overrides)
        return make_stage_runs(build_plan(config), make_contexts(config, StopRequest()))

    plain = stage_runs()
    given = stage_runs("teacher.normalization={mean: [0.5], std: [0.25]}")
    assert [a.digest == b.digest for a, b in zip(plain, given, strict=True)] == [False, False, True]
    students = stage_runs("student.normalization={mean: [0.5], std: [0.25]}")
    same = [a.digest == b.digest for a, b in zip(plain, students, strict=True)]
    assert same == [True, False, False]
    with pytest.raises(ConfigError, match=r"3 means and deviations are given.* 1 channel;"):
        stage_runs("teacher.normalization={mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}")


def test_a_stage_computes_with_the_normalisation_given(made):
    _, normalizer, batch = made("student.normalization={mean: [0.5], std: [0.25]}")
    expected = (batch.images.double() / 255 - 0.5) / 0.25
    torch.testing.assert_close(normalizer(batch.images), expected.float())


@pytest.mark.parametrize("fault", ["{mean: [0.5], std: []}", "{mean: [0.5], std: [0]}"])
def test_a_normalisation_that_is_none_is_refused(make_config, fault):
    with pytest.raises(ConfigError, match=r"student\.normalization: needs one finite mean"):
        make_config(f"student.normalization={fault}")


def test_a_student_starts_from_a_file_of_other_classes_and_a_teacher_does_not(
    make_config, tmp_path
):
    torch.manual_seed(1)
    given = build_model("resnet8", num_classes=100, in_channels=1, image_size=8)
    torch.save({"model": given.state_dict()}, tmp_path / "given.pt")
    words = f"weights={tmp_path / 'given.pt'}"
    config = make_config("train.device=cpu", "student=resnet8", f"student.{words}")
    context = make_contexts(config, StopRequest())
    (stage_run,) = [
        one for one in make_stage_runs(build_plan(config), context) if one.stage.role == "student"
    ]
    (line,) = stage_run.source.notes
    assert line.startswith("student resnet8: ")
    assert "its head is for 100 classes, so a new one for 10 is trained" in line
    network = build(stage_run.stage, context[None].data.shape, stage_run.source)
    assert torch.equal(network.conv1.weight, given.conv1.weight)
    assert network.fc.weight.shape == (10, 64)
    config = make_config("train.device=cpu", "teacher=resnet8", f"teacher.{words}")
    with pytest.raises(WeightsError, match="head for 100 classes, the data set has 10"):
        make_stage_runs(build_plan(config), make_contexts(config, StopRequest()))
