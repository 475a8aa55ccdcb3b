"""Width of a shallow student required by theory (Ba & Caruana, 2014)."""

import math
import os
from collections.abc import Sequence

from torch import nn

from kdrun.catalog.datasets import ImageShape
from kdrun.config.loss_mixture import active_terms
from kdrun.loggers.tables import count
from kdrun.models.heads import head_path
from kdrun.plan.stage import Stage
from kdrun.runs.preview.estimates import FLOAT
from kdrun.training.stage_model import build_on_meta


def mimicry_lines(stages: Sequence[Stage], shape: ImageShape) -> list[str]:
    """Return a line per mlp that regresses logits, with the width w^L; once for all seeds."""
    lines = [
        mimicry_line(stage, stages[stage.teachers[0]], shape)
        for stage in stages
        if stage.teachers and stage.model.arch == "mlp" and "logit_mse" in active_terms(stage.loss)
    ]
    return list(dict.fromkeys(lines))


def mimicry_line(stage: Stage, teacher: Stage, shape: ImageShape) -> str:
    """Return a line on the width of one hidden layer by the exponential claim, and its memory."""
    layers, width = depth_and_width(teacher, shape)
    units = width**layers
    needed = FLOAT * units * (shape.channels * shape.image_size**2 + 1 + shape.num_classes)
    memory = physical_memory()
    fits = ""
    if memory is not None:
        fits = f" would {'not ' * (needed > memory)}fit in this machine's {count(memory)}B"
    return (
        f"{stage.role} {stage.model.arch} has {hidden_units(stage, shape)}; were a shallow network "
        f"exponentially wide to equal the {layers} layers of {teacher.model.arch}, of at least "
        f"{width} units each, it would have {width}^{layers} = {rounded(units)}, whose weights of "
        f"{rounded(needed)} bytes{fits}"
    )


def depth_and_width(teacher: Stage, shape: ImageShape) -> tuple[int, int]:
    """Return the number of hidden layers with weights, and the width of the narrowest."""
    model = build_on_meta(teacher, shape)
    head = model.get_submodule(head_path(model))
    widths = [
        module.out_features if isinstance(module, nn.Linear) else module.out_channels
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and module is not head
    ]
    return len(widths), min(widths)


def hidden_units(stage: Stage, shape: ImageShape) -> str:
    """Return `256 hidden units` or `2 layers of 256 hidden units`."""
    linear = [
        module for module in build_on_meta(stage, shape).modules() if isinstance(module, nn.Linear)
    ]
    layers = "" if len(linear) == 2 else f"{len(linear) - 1} layers of "
    return f"{layers}{linear[0].out_features} hidden units"


def rounded(number: int) -> str:
    """Format an integer of any size, such as `65536` or `7.6e22`."""
    if number < 10**7:
        return str(number)
    exponent = math.floor(math.log10(number))
    return f"{number / 10**exponent:.1f}e{exponent}" if exponent < 300 else f"10^{exponent}"


def physical_memory() -> int | None:
    """Return the bytes of the machine's memory; None if unknown, as on Windows."""
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
