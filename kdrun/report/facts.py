"""What a run's page says in words and tables."""

import re
from collections.abc import Iterable
from typing import Any

from kdrun.analysis.intervals import wilson_interval
from kdrun.progress import clock
from kdrun.report.figure import label
from kdrun.report.run_files import RunFiles, student_place
from kdrun.tables import count, percent

# Each link of the chain of bounds: what is claimed, its two sides, whether it bounds an error.
LADDER = (
    ("tv", "|ε̃_S − ε̃_T| ≤ TV", "Gibbs errors differ by at most the total variation"),
    ("pinsker", "TV ≤ √(KL/2)", "Pinsker"),
    ("sqrt_kl", "√(KL/2) ≤ √KL", "the looser form of the textbooks"),
    ("seed_bound", "ε̃_S ≤ ε̃_T + √KL", "for Gibbs errors always true"),
    ("seed_bound_argmax", "ε_S ≤ ε_T + √KL", "for argmax errors no theorem: it can fail"),
    ("disagreement", "ε_S ≤ ε_T + disagreement", "for argmax errors always true"),
    ("margin_certificate", "disagreement ≤ certificate", "share of small teacher margins"),
)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def stage_rows(files: RunFiles) -> list[dict[str, Any]]:
    """A row a stage: sizes, and test accuracy with its 95 % Wilson interval."""
    stages, images = files.summary["stages"], int(files.summary["test_images"])
    largest = max(stage["parameters"] for stage in stages)
    models = files.analysis["models"] if files.analysis else [None] * len(stages)
    rows = []
    for place, (stage, model) in enumerate(zip(stages, models, strict=True)):
        accuracy = stage["accuracy"]["test_at_best_validation"]
        low, high = wilson_interval(round(accuracy * images), images)
        test = model["splits"]["test"] if model else None
        rows.append(
            {
                "name": label(stage),
                "main": place == student_place(files.summary),
                "parameters": count(stage["parameters"]),
                "ratio": f"{largest / stage['parameters']:.3g}×",
                "macs": count(stage["macs"]),
                "validation": percent(stage["accuracy"]["best_validation"]),
                "test": percent(accuracy),
                "interval": f"{low:.2%} – {high:.2%}",
                "nll": f"{float(test['nll']):.3f}" if test else "–",
                "calibration": f"{test['calibration_error']:.3f}" if test else "–",
                "gap": f"{100 * model['gap']['gap']:+.2f}" if model else "–",
                "time": "reused" if stage["reused"] else clock(stage["seconds"]),
            }
        )
    return rows


def pair_rows(analysis: dict[str, Any]) -> list[dict[str, str]]:
    """A row a comparison and split: how far two models agree."""
    return [
        {
            "student": label(pair["student"]),
            "other": label(pair["other"]),
            "split": split,
            "agreement": percent(found["agreement"]),
            "kl": f"{float(found['mean_kl']):.4f}",
            "tv": f"{found['bound']['tv']:.4f}",
        }
        for pair in analysis["pairs"]
        for split, found in pair["splits"].items()
    ]


def ladder(pair: dict[str, Any], classes: int) -> list[dict[str, Any]]:
    """The chain of bounds on the test images: both sides of each, and whether it says anything."""
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
            # What guessing reaches bounds nothing.
            "vacuous": sides[name][1] >= guessing,
        }
        for name, claim, meaning in LADDER
    ]


def chains(analysis: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The models of each chain with what each step cost."""
    found = []
    for chain in analysis["chains"]:
        steps: Iterable[Any] = [None, *chain["steps"]]
        found.append(
            [
                {
                    "name": label(stage),
                    "role": stage["role"],
                    "parameters": count(stage["parameters"]),
                    "accuracy": percent(stage["accuracy"]),
                    "step": step
                    and f"error {100 * step['error_difference']:+.2f} points, "
                    f"√(KL/2) {float(step['pinsker']):.3f}",
                }
                for stage, step in zip(chain["stages"], steps, strict=True)
            ]
        )
    return found


def example_groups(analysis: dict[str, Any]) -> list[dict[str, Any]]:
    """Images that student and teacher take for different classes; what is no PNG is left out."""
    return [
        {
            "student": label(group["student"]),
            "teacher": label(group["teacher"]),
            "images": [one for one in group["images"] if _BASE64.fullmatch(str(one["png"]))],
        }
        for group in analysis["examples"]
    ]


def environment_rows(environment: dict[str, Any]) -> list[tuple[str, str]]:
    """What the run ran on, as names and values."""
    packages = environment.get("packages", {})
    plain = {k: v for k, v in environment.items() if k != "packages" and v is not None}
    plain |= {"command": " ".join(map(str, environment.get("command", [])))}
    return [
        (str(name), str(value)) for name, value in (plain | packages).items() if name != "format"
    ]
