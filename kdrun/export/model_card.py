"""Model card of an exported student."""

import json
from collections.abc import Mapping
from typing import Any

from kdrun.analysis.intervals import wilson_interval
from kdrun.catalog.terms import option_key
from kdrun.config.parse import flat_mapping
from kdrun.escaping import markdown_text
from kdrun.loggers.tables import count, percent
from kdrun.report.findings import verdict

USE = {
    "safetensors": "only the weights, as below",
    "pt2": "`torch.export.load('student.pt2').module()(images)`",
    "onnx": "`onnxruntime.InferenceSession('student.onnx').run(None, {'images': images})`",
}


def model_card(card: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """Markdown card of a student: accuracy, costs, usage, training and limits."""
    images = card["test_images"]
    low, high = wilson_interval(round(card["test_accuracy"] * images), images)
    lines = [
        f"# {markdown_text(card['arch'])} for {markdown_text(card['dataset'])}",
        "",
        f"An image classifier of {count(card['parameters'])} parameters and {count(card['macs'])} "
        f"multiply-accumulates an image, trained by kdrun. Its accuracy on {images} test images is "
        f"**{percent(card['test_accuracy'])}** (95 % interval {low:.2%} – {high:.2%}), in float32.",
        *(f"It is {line}." for line in [seed_words(card)] if line),
        "",
        *(f"- {markdown_text(line)}" for line in verdict(dict(summary))),
        "",
        "## Input and output",
        "",
        *_input_and_output(card),
        "",
        "## Files",
        "",
        "Each was read back and run on the whole test set, with the accuracy of the network.",
        "",
        "| file | bytes | largest logit difference | CPU ms an image | use |",
        "| --- | ---: | ---: | ---: | --- |",
        *(_file_line(name, entry) for name, entry in card["files"].items()),
        "",
        "To use only the weights, with kdrun installed:",
        "",
        *_from_weights(card),
        "",
        "## Training",
        "",
        markdown_text(_taught(card, summary)),
        "",
        *_training(card["recipe"]),
        "",
        "## Limits",
        "",
        "Accuracy was measured only on the data set's own test images; it may be much lower for "
        "images from other cameras, of other classes or quality. Its confidence is not calibrated "
        "unless `analysis.json` of the run says so.",
        "",
    ]
    return "\n".join(lines)


def seed_words(card: Mapping[str, Any]) -> str:
    """Which of several seeds' students was exported; empty for a run of one seed."""
    seeds = card.get("seeds") or []
    if len(seeds) < 2:
        return ""
    return (
        f"the student of seed {card['seed']}, the first of the seeds {', '.join(map(str, seeds))}"
        ", neither the best nor a mean"
    )


def _input_and_output(card: Mapping[str, Any]) -> list[str]:
    """Shape, preprocessing and output of the model."""
    shape, classes = "×".join(map(str, card["input"]["shape"])), card["class_names"]
    return [
        f"uint8 images, {shape} (N, channels, height, width); logits of {len(classes)} classes: "
        + markdown_text(", ".join(classes[:20]))
        + ("…" if len(classes) > 20 else "."),
        "The files only accept images of that size. Preparation of the test images: "
        f"{markdown_text(card['input']['preparation'])}.",
        f"Mean {card['normalization']['mean']} and deviation {card['normalization']['std']} of "
        "pixels in [0, 1] are part of pt2 and onnx; with safetensors, normalise by them.",
    ]


def _from_weights(card: Mapping[str, Any]) -> list[str]:
    """Python code that builds the network, loads its weights and runs it."""
    _, channels, size, _ = card["input"]["shape"]
    options = {"num_classes": len(card["class_names"]), "in_channels": channels, "image_size": size}
    options |= {name: card[name] for name in ("library", "stem", "width", "depth")}
    arguments = [f"{name}={value!r}" for name, value in options.items() if value is not None]
    mean, std = (card["normalization"][name] for name in ("mean", "std"))
    return [
        "    from safetensors.torch import load_model",
        "    from kdrun.data.normalizer import Normalizer",
        "    from kdrun.models.build import build_model",
        "",
        f"    network = build_model({', '.join([repr(card['arch']), *arguments])}).eval()",
        "    load_model(network, 'student.safetensors')",
        f"    normalizer = Normalizer(mean={mean}, std={std})",
        "    logits = network(normalizer(images))",
    ]


def _file_line(name: str, entry: Mapping[str, Any]) -> str:
    return (
        f"| {markdown_text(entry['file'])} | {entry['bytes']:,} | "
        f"{entry['max_logit_difference']:.2g} | {entry['latency']['median_ms']:.3g} | {USE[name]} |"
    )


def _taught(card: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """Sentence on the training images and the teachers."""
    hashes = card["recipe"].get("teachers") or []
    teachers = [
        f"{stage['arch']} ({percent(stage['accuracy']['test_at_best_validation'])} of the test "
        "images)"
        for stage in summary["stages"]
        if stage["hash"] in hashes and stage["hash"] != card["stage"]
    ]
    taught = f", taught by {' and '.join(dict.fromkeys(teachers))}" if teachers else ""
    return f"On {card['training_images']:,} images of {card['dataset']}{taught}."


def _training(recipe: Mapping[str, Any]) -> list[str]:
    """Table of the settings that determined the weights."""
    rows = flat_mapping({"train": recipe["train"]}) if "train" in recipe else {}
    rows |= _loss_settings(recipe.get("loss", {}))
    rows |= {"augment": recipe.get("augment"), "data (SHA-256)": recipe["data"]}
    lines = [
        f"| {markdown_text(key)} | {markdown_text(_value(value))} |" for key, value in rows.items()
    ]
    return ["| setting | value |", "| --- | --- |", *lines]


def _loss_settings(loss: Mapping[str, Any]) -> dict[str, Any]:
    """Keys and values of the loss as a config has them."""
    found = flat_mapping({key: value for key, value in loss.items() if key != "terms"}, "loss.")
    for name, options in loss.get("terms", {}).items():
        for key, value in options.items():
            found[option_key(name, key)] = value
    return found


def _value(value: Any) -> str:
    """Format a value as in a config, without the rounding error of 1 - 0.9."""
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:.10g}" if isinstance(value, float) else json.dumps(value).strip('"')
