"""Catalog of the loss terms, one row each. Imports no torch."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from kdrun.catalog.options import Option, flag, name, names, nullable, real, whole, word
from kdrun.catalog.term_row import Reads, Temperature, Term

LABELS = "cross_entropy"
"""The cross-entropy with the labels; its weight is loss.weights.hard, or 1 - alpha."""


def weight(help: str = "0: off") -> Option:
    """Return the weight option of a term that is off by default."""
    return real(0.0, help, 0, 1e6)


def soft_term(
    code: str,
    label: str,
    paper: str,
    reads: Reads,
    options: Mapping[str, Option] | None = None,
    *,
    temperature: Temperature = Temperature.FINITE,
    **more: Any,
) -> Term:
    """Return the row of a term that compares logits, with the options that all of these have."""
    common: dict[str, Option] = {
        "weight": nullable(weight("0: off; null: loss.weights.soft, else loss.alpha"))
    }
    if temperature is not Temperature.NONE:
        limits = {"above": True, "infinite": temperature is Temperature.ANY}
        common["T"] = real(None, "constant T of this term; null: loss.T", 0, 1000, **limits)
    common["standardize"] = flag(None, "null: loss.standardize")
    return Term(
        code,
        label,
        paper,
        reads,
        common | dict(options or {}),
        temperature=temperature,
        soft=True,
        **more,
    )


def _no_learned_projection(options: SimpleNamespace) -> str | None:
    if options.projection != "learned":
        return None
    return (
        "projection=learned: a projection of the teacher that is trained together with the student "
        "lets both collapse to zero; use student or closed_form"
    )


_LAYER = name(None, "a student:teacher pair; null: the inputs of the classifiers")

TERMS: dict[str, Term] = {
    "kl": soft_term(
        "kdrun.losses.soft_target:KlTerm",
        "kl",
        "Hinton, Vinyals and Dean, 2015",
        Reads.PROBABILITIES,
        temperature=Temperature.ANY,
        preset="kd",
        learned="kdrun.losses.learned_temperature:LearnedTemperatureTerm",
        lowest_at_teacher=True,
    ),
    "dkd": soft_term(
        "kdrun.losses.dkd:DkdTerm",
        "dkd",
        "Zhao et al., 2022",
        Reads.PROBABILITIES | Reads.CLASS_LABELS,
        {
            "alpha": real(1.0, "weight of the target class", 0, 1e6),
            "beta": real(8.0, "weight of the other classes among themselves", 0, 1e6),
            "warmup_epochs": whole(20, "epochs of linear warm-up of the term", 0, 100_000),
        },
        lowest_at_teacher=True,
        among_others="beta",
    ),
    "dist": soft_term(
        "kdrun.losses.dist:DistTerm",
        "dist",
        "Huang et al., 2022",
        Reads.PROBABILITIES,
        {
            "beta": real(1.0, "weight of the correlation over classes", 0, 1e6),
            "gamma": real(1.0, "weight of the correlation over samples", 0, 1e6),
        },
        couples_batch=True,
        lowest_at_teacher=True,
    ),
    "nkd": soft_term(
        "kdrun.losses.nkd:NkdTerm",
        "nkd",
        "Yang et al., 2023",
        Reads.PROBABILITIES | Reads.CLASS_LABELS,
        {"gamma": real(1.5, "weight of the other classes", 0, 1e6)},
        among_others="gamma",
    ),
    "wsl": soft_term(
        "kdrun.losses.wsl:WslTerm",
        "wsl",
        "Zhou et al., 2021",
        Reads.PROBABILITIES | Reads.CLASS_LABELS,
    ),
    "logit_mse": soft_term(
        "kdrun.losses.soft_target:LogitMseTerm",
        "logit_mse",
        "Ba and Caruana, 2014",
        Reads.LOGITS,
        temperature=Temperature.NONE,
        lowest_at_teacher=True,
    ),
    "teacher_argmax": soft_term(
        "kdrun.losses.soft_target:TeacherArgmaxTerm",
        "teacher_argmax",
        "Touvron et al., 2021",
        Reads.PROBABILITIES,
        temperature=Temperature.NONE,
        preset="hard",
        short=("hard",),
    ),
    "cross_entropy": Term(
        "kdrun.losses.label:LabelTerm",
        "cross-entropy",
        "label smoothing: Szegedy et al., 2016",
        Reads.LABELS,
        preset="none",
        shared=("label_smoothing",),
    ),
    "hint": Term(
        "kdrun.losses.hint:HintTerm",
        "hint",
        "Romero et al., 2015",
        Reads.HIDDEN,
        {
            "weight": weight(),
            "layers": names("student:teacher pairs, such as [layer2:layer2]; []: the stages"),
            "projection": word(
                "student",
                "student: trained, to the teacher's width; closed_form: fitted each epoch",
                "student",
                "closed_form",
                "learned",
            ),
            "reduction": word("mean", "mean or sum of the squared differences", "mean", "sum"),
        },
        check=_no_learned_projection,
    ),
    "attention": Term(
        "kdrun.losses.attention:AttentionTerm",
        "attention",
        "Zagoruyko and Komodakis, 2017",
        Reads.HIDDEN | Reads.ATTENTION,
        {
            "weight": weight(),
            "layers": names("pairs as above; []: all stages or all attention modules"),
            "kind": word(
                "auto",
                "activation (feature maps), mse or kl (transformers' maps), auto",
                "auto",
                "activation",
                "mse",
                "kl",
            ),
        },
        lowest_at_teacher=True,
    ),
    "rkd_distance": Term(
        "kdrun.losses.rkd:DistanceTerm",
        "rkd distance",
        "Park et al., 2019",
        Reads.HIDDEN,
        {"distance": weight("weight of the distances; 0: off"), "layer": _LAYER},
        preset="rkd",
        section="rkd",
        weight="distance",
        couples_batch=True,
        lowest_at_teacher=True,
    ),
    "rkd_angle": Term(
        "kdrun.losses.rkd:AngleTerm",
        "rkd angle",
        "Park et al., 2019",
        Reads.HIDDEN,
        {"angle": weight("weight of the angles; 0: off"), "layer": _LAYER},
        preset="rkd",
        section="rkd",
        weight="angle",
        least_batch=3,
        couples_batch=True,
        lowest_at_teacher=True,
    ),
}
"""Rows in the order in which losses are summed and the terms' networks are initialised."""


def section_of(term: str) -> str:
    """Return the section of `loss` that holds the term's options."""
    return TERMS[term].section or term


def sections() -> dict[str, dict[str, Option]]:
    """Return the options of each section of `loss` that belongs to terms.

    Raises:
        TypeError: two rows of a section declare different options under one key.
    """
    found: dict[str, dict[str, Option]] = {}
    for term, row in TERMS.items():
        section = found.setdefault(section_of(term), {})
        for key, option in row.options.items():
            if section.setdefault(key, option) is not option:
                raise TypeError(f"loss.{section_of(term)}.{key} is two options, one of {term}")
    return {section: options for section, options in found.items() if options}


def soft_names() -> dict[str, str]:
    """Return the words that loss.soft accepts, with the term of each."""
    rows = {term: row for term, row in TERMS.items() if row.soft}
    return {term: term for term in rows} | {
        short: term for term, row in rows.items() for short in row.short
    }


def option_key(term: str, option: str) -> str:
    """Return the config key of an option of an active term, such as `loss.rkd.distance`.

    Args:
        term: name of its row.
        option: `weight`, or a key of the row's options or shared options.
    """
    row = TERMS.get(term)
    if term == LABELS and option == "weight":
        return "loss.weights.hard"
    if row is None or option in row.shared:
        return f"loss.{option}" if row else f"loss.{term}.{option}"
    return f"loss.{section_of(term)}.{row.weight if option == 'weight' else option}"
