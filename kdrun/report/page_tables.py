"""Tables and texts of a run's report page."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from kdrun.loggers.tables import count, percent
from kdrun.report.chain_tables import generation_rows, generations_title
from kdrun.report.figure import label
from kdrun.report.gain_words import points_cell
from kdrun.report.result_table import spread
from kdrun.store.summary import groups, stage_title

# Each link of the chain of bounds: key, inequality, explanation.
LADDER = (
    ("tv", "|ε̃_S − ε̃_T| ≤ TV", "Gibbs errors differ by at most the total variation"),
    ("pinsker", "TV ≤ √(KL/2)", "Pinsker"),
    ("sqrt_kl", "√(KL/2) ≤ √KL", "the looser textbook form"),
    ("seed_bound", "ε̃_S ≤ ε̃_T + √KL", "always true for Gibbs errors"),
    ("seed_bound_argmax", "ε_S ≤ ε_T + √KL", "no theorem for argmax errors: it can fail"),
    ("disagreement", "ε_S ≤ ε_T + disagreement", "always true for argmax errors"),
    ("margin_certificate", "disagreement ≤ certificate", "share of small teacher margins"),
)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def title(summary: Mapping[str, Any]) -> str:
    """Title of the page: the chain and data set, `resnet110 → resnet20 → resnet8 on cifar100`."""
    stages = [group[0] for group in groups(summary)]
    archs = {
        role: [str(stage["arch"]) for stage in stages if stage["role"] == role]
        for role in ("teacher", "assistant", "student", "generation")
    }
    if archs["generation"]:
        models = f"{len(archs['generation'])} generations of {archs['generation'][0]}"
    else:
        steps = [" + ".join(archs["teacher"]), *archs["assistant"], *archs["student"]]
        models = " → ".join(filter(None, steps))
    return f"{models} on {summary['dataset']}"


def chosen_note(stages: Sequence[Mapping[str, Any]]) -> str:
    """End of a caption: validation accuracies that chose the epoch are too high."""
    chose = any(one["epochs"] and one["accuracy"]["best_validation"] is not None for one in stages)
    return (
        "; validation accuracies chose the epoch, so on average they are too high" if chose else ""
    )


def noise_note(config: Any) -> str:
    """Sentence on the clean held-out labels of a run with label noise; empty without noise."""
    section = config.get("dataset")
    noise = section.get("label_noise") if isinstance(section, Mapping) else None
    if not isinstance(noise, float) or not 0 < noise < 1:
        return ""
    held_out = section.get("val_fraction") != 0
    told = f"{noise:.3g} of the training labels are wrong (dataset.label_noise)"
    if not held_out:
        return f"{told}. Test labels are clean."
    chosen = "the epoch was chosen on labels cleaner than those of training"
    return f"{told}. Validation and test labels are clean: {chosen}."


def pair_rows(analysis: dict[str, Any]) -> list[dict[str, str]]:
    """One row per pair of models: agreement and divergence, over seeds."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for pair in analysis["pairs"]:
        key = (pair["kind"], stage_title(pair["student"]), stage_title(pair["other"]))
        found[key].append(pair["splits"])
    return [
        {
            "student": student,
            "other": other,
            "test": spread([splits["test"]["agreement"] for splits in group], percent),
            "kl": spread([splits["test"]["mean_kl"] for splits in group], "{:.4f}".format),
            "tv": spread([splits["test"]["bound"]["tv"] for splits in group], "{:.4f}".format),
            **{
                split: spread([one[split]["agreement"] for one in group if split in one], percent)
                for split in ("validation", "train")
            },
        }
        for (_, student, other), group in found.items()
    ]


def ladder(pair: dict[str, Any], classes: int) -> list[dict[str, Any]]:
    """Rows of the chain of bounds on the test images: both sides, and whether each is vacuous."""
    bound = pair["splits"]["test"]["bound"]
    b = {name: float(value) for name, value in bound.items() if name != "holds"}
    root = b["seed_bound"] - b["eps_gibbs_T"]
    sides = {
        "tv": (abs(b["eps_gibbs_S"] - b["eps_gibbs_T"]), b["tv"]),
        "pinsker": (b["tv"], b["pinsker"]),
        "sqrt_kl": (b["pinsker"], root),
        "seed_bound": (b["eps_gibbs_S"], b["seed_bound"]),
        "seed_bound_argmax": (b["eps_S"], b["eps_T"] + root),
        "disagreement": (b["eps_S"], b["eps_T"] + b["disagreement"]),
        "margin_certificate": (b["disagreement"], b["margin_certificate"]),
    }
    guessing = 1 - 1 / classes
    return [
        {
            "claim": claim,
            "meaning": meaning,
            "left": sides[name][0],
            "right": sides[name][1],
            "holds": bool(bound["holds"][name]),
            # A bound above the error of guessing says nothing.
            "vacuous": sides[name][1] >= guessing,
        }
        for name, claim, meaning in LADDER
    ]


def generations(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Title and rows of the generations of a born-again run, as in its closing table."""
    report = summary.get("born_again")
    if report is None:
        return None
    return {"title": generations_title(report), "rows": generation_rows(summary)}


def chains(analysis: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The models of each chain with the cost of each step, over seeds."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for chain in analysis["chains"]:
        found[tuple(stage_title(stage) for stage in chain["stages"])].append(chain)
    return [
        [
            {
                "name": name,
                "parameters": count(group[0]["stages"][number]["parameters"]),
                "accuracy": spread([c["stages"][number]["accuracy"] for c in group], percent),
                "step": step_words([chain["steps"][number - 1] for chain in group])
                if number
                else None,
            }
            for number, name in enumerate(names)
        ]
        for names, group in found.items()
    ]


def step_words(steps: Sequence[dict[str, Any]]) -> list[str]:
    """The cost of a step in two lines."""
    errors = points_cell([100 * step["error_difference"] for step in steps])
    return [
        f"error {errors} points",
        f"√(KL/2) {spread([step['pinsker'] for step in steps], '{:.3f}'.format)}",
    ]


def example_groups(analysis: dict[str, Any], shown: int) -> list[dict[str, Any]]:
    """Images on which student and teacher disagree, without entries that are not PNG.

    Args:
        shown: place of the student to show first.
    """
    return [
        {
            "student": label(group["student"]),
            "teacher": label(group["teacher"]),
            "images": [one for one in group["images"] if _BASE64.fullmatch(str(one["png"]))],
        }
        for group in sorted(analysis["examples"], key=lambda g: g["student"]["stage"] != shown)
    ]


def environment_rows(environment: dict[str, Any]) -> list[tuple[str, str]]:
    """The run's environment as names and values."""
    packages = environment.get("packages", {})
    plain = {k: v for k, v in environment.items() if k != "packages" and v is not None}
    plain |= {"command": " ".join(map(str, environment.get("command", [])))}
    return [
        (str(name), str(value)) for name, value in (plain | packages).items() if name != "format"
    ]
