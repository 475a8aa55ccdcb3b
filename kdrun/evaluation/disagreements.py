"""Test images on which student and teacher disagree, as small PNG images."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from kdrun.data.batch import Split
from kdrun.evaluation.predictions import Predictions, check_same_images

MOST_EXAMPLES = 12
LARGEST_SIDE = 96


def differing(student: Predictions, teacher: Predictions) -> list[int]:
    """Rows with different decisions, largest difference of probabilities first."""
    check_same_images(student, teacher)
    ours, theirs = (torch.softmax(a.logits.double(), dim=1) for a in (student, teacher))
    distance = (ours - theirs).abs().sum(dim=1)
    distance[student.logits.argmax(dim=1) == teacher.logits.argmax(dim=1)] = -1.0
    largest, rows = distance.topk(min(MOST_EXAMPLES, len(distance)))
    return rows[largest > 0].tolist()


def examples(
    student: Predictions, teacher: Predictions, split: Split, class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """The images with their label and both models' decisions."""
    rows = differing(student, teacher)
    pictures = png_images(split, [int(student.indices[row]) for row in rows])
    return [
        {
            "index": int(student.indices[row]),
            "label": class_names[int(student.labels[row])],
            "student": decision(student, row, class_names),
            "teacher": decision(teacher, row, class_names),
            "png": pictures[int(student.indices[row])],
        }
        for row in rows
    ]


def decision(answers: Predictions, row: int, class_names: Sequence[str]) -> dict[str, Any]:
    """The predicted class and its probability."""
    probability, place = torch.softmax(answers.logits[row].double(), dim=0).max(dim=0)
    return {"class": class_names[int(place)], "probability": probability.item()}


def png_images(split: Split, indices: Sequence[int], batch_size: int = 256) -> dict[int, str]:
    """Base64 PNG of the images at the given indices of a split."""
    wanted, found = set(indices), {}
    for batch in split.batches(batch_size):
        for row, index in enumerate(batch.indices.tolist()):
            if index in wanted:
                found[index] = png(batch.images[row].cpu())
        if len(found) == len(wanted):
            break
    return found


def png(image: Tensor) -> str:
    """Encode one (C, H, W) uint8 image as base64 PNG of at most `LARGEST_SIDE` pixels a side."""
    pixels = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
