"""Table of `kdrun layers`."""

from dataclasses import replace

import torch

from kdrun.catalog.datasets import ImageShape, dataset_options
from kdrun.config.schema import Config
from kdrun.data.shapes import known_shape
from kdrun.features.layers import LayerInfo, describe_layers
from kdrun.loggers.tables import console, plain_table
from kdrun.plan.stage import model_stage
from kdrun.training.stage_model import build


def shape_of(config: Config) -> ImageShape:
    """Return the image shape of the config's data set."""
    return known_shape(dataset_options(config.dataset))


def plan_title(config: Config, shape: ImageShape) -> str:
    """Return the title, such as `digits, 10 classes, 1x8x8`."""
    size = f"{shape.channels}x{shape.image_size}x{shape.image_size}"
    return f"{config.dataset.name}, {shape.num_classes} classes, {size}"


def show_layers(config: Config) -> None:
    """Print the student's modules: path, kind, output shape, and whether they can be hooked."""
    shape = shape_of(config)
    model = replace(config.student, weights=None)
    stage = model_stage(config, model)
    example = torch.zeros(2, shape.channels, shape.image_size, shape.image_size)
    table = plain_table(f"{model.arch} on {plan_title(config, shape)}")
    for name in ("layer", "kind", "output"):
        table.add_column(name)
    table.add_column("hook")
    for layer in describe_layers(build(stage, shape, None), example):
        output = "-" if layer.shape is None else "x".join(map(str, layer.shape))
        style = None if hookable(layer) == "yes" else "dim"
        table.add_row(layer.path, layer.kind, output, hookable(layer), style=style)
    console().print(table)


def hookable(layer: LayerInfo) -> str:
    """Return `yes` if a loss may read the layer's output, else the reason."""
    if layer.calls == 0:
        return "never called"
    if layer.calls > 1:
        return f"called {layer.calls} times"
    if layer.shape is None:
        return "not one tensor"
    return "overwritten in place" if layer.overwritten else "yes"
