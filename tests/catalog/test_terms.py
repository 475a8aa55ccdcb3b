"""What holds of every loss term, by its row."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from kdrun.catalog.options import Choice, Range
from kdrun.catalog.term_row import Reads, Temperature
from kdrun.catalog.terms import LABELS, TERMS, option_key, section_of, sections
from kdrun.config.loss_mixture import active_terms, labels_only, needs_teacher
from kdrun.config.parse import keys
from kdrun.config.paths import config_folder
from kdrun.config.schema import LossConfig
from kdrun.errors import ConfigError
from kdrun.features.inspection import InspectedModel
from kdrun.features.layers import LayerInfo
from kdrun.losses.term import LossTerm, Outputs, StepContext
from kdrun.plan.build import build_plan
from kdrun.plan.identity import identity
from kdrun.store.stages import stage_hash
from kdrun.training.build_objective import ObjectiveModels, build_objective, term_class

CLASSES, IMAGES = 5, 6
SOFT = [name for name, row in TERMS.items() if row.soft]
OPTIONS = [(name, key) for name, row in TERMS.items() for key in (*row.options, *row.shared)]
BY_EXAMPLE = {"layers": "[layer1:layer2]", "layer": "layer1"}
"""Values of options whose type does not say what they may be."""


def switched_on(make_config, name, *overrides):
    """The config of a mixture of the term and the labels, the teacher's network a resnet."""
    preset = f"loss={TERMS[name].preset or name}"
    return make_config("student=resnet8", "teacher=resnet14", preset, *overrides)


def student_hash(config):
    stage = next(stage for stage in build_plan(config) if stage.role == "student")
    known = {"data": "d", "augment": "none", "precision": "fp32", "weights": None}
    return stage_hash(identity(stage, **known, teachers=[]))


def another_value(name, key):
    """A value of the option that is neither its default nor what its preset sets."""
    option = TERMS[name].options.get(key)
    preset = OmegaConf.load(config_folder() / "loss" / f"{TERMS[name].preset or name}.yaml")
    present = OmegaConf.select(
        preset, f"{section_of(name)}.{key}", default=getattr(option, "default", 0)
    )
    if key in BY_EXAMPLE:
        return BY_EXAMPLE[key]
    if option is None:
        return 0.25  # of `loss` itself: label smoothing
    if isinstance(option.rule, Choice):
        words = [word for word in option.rule.words if word not in (present, "learned")]
        return words[-1]
    if isinstance(option.rule, Range):
        values = (3, 5) if option.annotation is int else (0.75, 1.25, 2.5)
        return next(one for one in values if one != present and option.rule.fault(one) is None)
    return str(not present).lower()


def key_of(name, key):
    return f"loss.{key}" if key in TERMS[name].shared else f"loss.{section_of(name)}.{key}"


@pytest.mark.parametrize(("name", "key"), OPTIONS)
def test_every_option_of_a_term_changes_the_hash_of_a_stage_that_has_it(make_config, name, key):
    changed = f"{key_of(name, key)}={another_value(name, key)}"
    before, after = (switched_on(make_config, name, *words) for words in ([], [changed]))
    assert student_hash(before) != student_hash(after)


@pytest.mark.parametrize(("name", "key"), [one for one in OPTIONS if one[0] not in ("kl", LABELS)])
def test_no_option_of_a_term_changes_the_hash_of_a_stage_without_it(make_config, name, key):
    row = TERMS[name]
    if key == row.weight:
        pytest.skip("the weight puts the term into the mixture")
    changed = f"{key_of(name, key)}={another_value(name, key)}"
    before, after = (make_config("loss=kd", *words) for words in ([], [changed]))
    assert student_hash(before) == student_hash(after)


@pytest.mark.parametrize("name", TERMS)
def test_the_control_is_without_the_term(make_config, name):
    control = labels_only(switched_on(make_config, name).loss)
    assert list(active_terms(control)) == [LABELS]
    assert not needs_teacher(control)


@pytest.mark.parametrize("name", TERMS)
def test_the_preset_of_a_term_switches_it_on_and_tells_its_source(make_config, name):
    assert name in active_terms(switched_on(make_config, name).loss)
    text = (config_folder() / "loss" / f"{TERMS[name].preset or name}.yaml").read_text()
    assert text.startswith("# ")


@pytest.mark.parametrize("name", TERMS)
def test_a_paper_is_given_with_its_year(name):
    assert re.search(r"(19|20)\d\d$", TERMS[name].paper)


@pytest.mark.parametrize("name", TERMS)
def test_the_code_of_a_term_is_a_loss_term_in_a_module_of_losses(name):
    code = term_class(TERMS[name])
    assert issubclass(code, LossTerm)
    assert code.__module__.startswith("kdrun.losses.")


@pytest.mark.parametrize("name", SOFT)
def test_a_soft_term_begins_with_the_options_that_all_of_them_have(name):
    row = TERMS[name]
    common = ["weight", "T", "standardize"]
    if row.temperature is Temperature.NONE:
        common.remove("T")
    assert list(row.options)[: len(common)] == common


def test_the_sections_of_the_schema_are_those_of_the_rows():
    made = LossConfig()
    assert set(sections()) <= set(vars(made))
    assert not hasattr(made, LABELS)


# Outputs of two models that disagree, with all that any term reads.


def inspected(name, widths, attention):
    layers = [
        LayerInfo(
            path=f"layer{n}", kind="Sequential", shape=(width, 4, 4), calls=1, overwritten=False
        )
        for n, width in enumerate(widths, 1)
    ]
    return InspectedModel(name, layers, ["attn"] if attention else [], 8)


def outputs(seed, widths, heads=2):
    made = torch.Generator().manual_seed(seed)
    hidden = {
        f"layer{n}": torch.randn(IMAGES, width, 4, 4, generator=made)
        for n, width in enumerate(widths, 1)
    } | {"penultimate": torch.randn(IMAGES, 8, generator=made)}
    attention = {"attn": torch.rand(IMAGES, heads, 4, 4, generator=made).softmax(-1)}
    return Outputs(torch.randn(IMAGES, CLASSES, generator=made), hidden, attention)


def built(make_config, name, *overrides, widths=((4, 8), (6, 12)), attention=False):
    loss = switched_on(make_config, name, *overrides).loss
    known = ObjectiveModels(
        num_classes=CLASSES,
        num_images=50,
        student=inspected("student", widths[0], attention),
        teacher=inspected("teacher", widths[1], attention),
        teacher_head=lambda: torch.nn.Linear(8, CLASSES),
    )
    torch.manual_seed(0)
    named = [f"{section_of(name)}"]
    objective, _ = build_objective(with_layers(loss, named), known)
    return objective.terms[name]


def with_layers(loss, named):
    """The loss with layers named, since the layers here are no real model's."""
    changed = {
        section: replace(getattr(loss, section), layers=["layer1:layer1", "layer2:layer2"])
        for section in named
        if hasattr(getattr(loss, section, None), "layers")
    }
    return replace(loss, **changed)


def value_and_gradients(term, student, teacher):
    leaves = [student.logits, *student.hidden.values(), *student.attention.values()]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    labels = torch.arange(IMAGES) % CLASSES
    value = term(student, teacher, labels, StepContext(2.0, 1, torch.arange(IMAGES)))
    gradients = torch.autograd.grad(value, leaves, allow_unused=True)
    return value, [one for one in gradients if one is not None]


@pytest.mark.parametrize("name", TERMS)
def test_a_term_has_a_finite_value_and_gradient_and_moves_the_student(make_config, name):
    term = built(make_config, name)
    value, gradients = value_and_gradients(term, outputs(0, (4, 8)), outputs(1, (6, 12)))
    assert value.shape == ()
    assert value.isfinite()
    assert gradients
    assert all(one.isfinite().all() for one in gradients)
    assert any(one.abs().sum() > 0 for one in gradients)


@pytest.mark.parametrize("name", [name for name, row in TERMS.items() if row.lowest_at_teacher])
def test_a_term_that_says_so_is_lowest_where_the_student_is_the_teacher(make_config, name):
    term = built(make_config, name, widths=((4, 8), (4, 8)))
    same, _ = value_and_gradients(term, outputs(1, (4, 8)), outputs(1, (4, 8)))
    for seed in range(2, 6):
        other, _ = value_and_gradients(term, outputs(seed, (4, 8)), outputs(1, (4, 8)))
        assert same < other


@pytest.mark.parametrize("name", [name for name, row in TERMS.items() if row.couples_batch])
def test_a_term_that_couples_the_batch_is_no_mean_over_its_samples(make_config, name):
    term = built(make_config, name)
    whole, half = outputs(0, (4, 8)), outputs(1, (6, 12))
    assert not additive(term, whole, half)


@pytest.mark.parametrize(
    "name", [name for name, row in TERMS.items() if not row.couples_batch and row.options]
)
def test_every_other_term_is_a_mean_over_its_samples(make_config, name):
    term = built(make_config, name).eval()
    assert additive(term, outputs(0, (4, 8)), outputs(1, (6, 12)))


def additive(term, student, teacher):
    labels, context = torch.arange(IMAGES) % CLASSES, StepContext(2.0, 1, torch.arange(IMAGES))
    halves = [slice(0, IMAGES // 2), slice(IMAGES // 2, IMAGES)]
    parts = [
        term(taken(student, half), taken(teacher, half), labels[half], context) for half in halves
    ]
    whole = term(student, teacher, labels, context)
    return torch.allclose(sum(parts) / 2, whole, rtol=1e-5)


def taken(outputs, images):
    hidden, attention = (
        {name: one[images] for name, one in found.items()}
        for found in (outputs.hidden, outputs.attention)
    )
    return Outputs(outputs.logits[images], hidden, attention)


def test_a_term_that_reads_class_labels_is_refused_with_mixed_ones(make_config):
    for name, row in TERMS.items():
        if row.reads & Reads.CLASS_LABELS:
            with pytest.raises(ConfigError, match="needs class labels"):
                switched_on(make_config, name, "train.mixup=0.2")


BASES = ("term", "logit_term")


def test_every_module_with_a_term_is_named_by_a_row():
    folder = Path(__file__).parents[2] / "kdrun" / "losses"
    with_terms = {
        path.stem
        for path in folder.glob("*.py")
        if re.search(r"^class \w+Term\(", path.read_text(), re.MULTILINE)
    }
    codes = [code for row in TERMS.values() for code in (row.code, row.learned) if code]
    named = {code.partition(":")[0].rpartition(".")[2] for code in codes}
    assert with_terms - {*BASES} == named


@pytest.mark.parametrize(("name", "key"), OPTIONS)
def test_the_key_of_an_option_is_one_that_a_config_has(name, key):
    given = "weight" if key == TERMS[name].weight else key
    assert option_key(name, given) in set(keys())
    assert option_key(LABELS, "weight") in set(keys())
