"""Model of a stage: built untrained, or loaded with its best weights."""

from dataclasses import replace

import torch
from torch import nn

from kdrun.catalog.architectures import of_torchvision
from kdrun.catalog.datasets import ImageShape
from kdrun.config.schema import NormalizationConfig
from kdrun.data.dataset import ImageData
from kdrun.data.normalizer import Normalizer
from kdrun.device import place
from kdrun.errors import ConfigError
from kdrun.models.build import build_model
from kdrun.models.complexity import count_macs, count_parameters
from kdrun.models.timm_models import timm_conversion
from kdrun.models.weights.given import Adaptation, load_given
from kdrun.plan.stage import Stage
from kdrun.training.context import RunContext, StageRun
from kdrun.training.initial_weights import WeightsSource, stage_weights


def load_finished(stage_run: StageRun, context: RunContext) -> tuple[nn.Module, Normalizer]:
    """Load the network on its device, and the normalisation for its weights.

    Raises:
        DamagedError: a file of the stage fails its checksum.
    """
    source = stage_weights(stage_run.folder, str(stage_run.folder), stage_run.digest)
    network = build(stage_run.stage, context.data.shape, source)
    return placed(network, stage_run.stage, context.data, source, context.device)


def placed(
    network: nn.Module,
    stage: Stage,
    data: ImageData,
    source: WeightsSource | None,
    device: torch.device,
) -> tuple[nn.Module, Normalizer]:
    """Move the network and its normalisation to the device, in the stage's memory layout."""
    layout = stage.train.channels_last
    given = normalization(data, source, stage.model.normalization)
    normalizer = Normalizer(**given, channels_last=layout)
    return place(network, device, layout), normalizer.to(device)


def build(stage: Stage, shape: ImageShape, source: WeightsSource | None) -> nn.Module:
    """Build the stage's model on the CPU, initialised from its seed or with given weights.

    Raises:
        WeightsError: the weights do not fit.
    """
    return build_and_say(stage, shape, source)[0]


def build_and_say(
    stage: Stage, shape: ImageShape, source: WeightsSource | None
) -> tuple[nn.Module, str | None]:
    """Build the stage's model as `build`, and return a line on what is used of a weights file.

    Raises:
        WeightsError: the weights do not fit.
    """
    torch.manual_seed(stage.train.seed)
    model = stage.model
    network = build_model(
        model.arch,
        num_classes=shape.num_classes,
        in_channels=shape.channels,
        image_size=shape.image_size,
        stem=model.stem,
        library=model.library,
        width=model.width,
        depth=model.depth,
        weights=source.name if source is not None and source.path is None else None,
    )
    if source is None or source.path is None:
        return network, None
    line = load_given(
        network, source.path, source=source.name, key=source.key, adaptation=_adaptation(stage)
    )
    return network, line


def _adaptation(stage: Stage) -> Adaptation:
    """Return the permitted changes of given weights: those of weights by name."""
    arch, library = stage.model.arch, stage.model.library
    return Adaptation(
        new_head=not stage.pretrained,
        stem=library == "timm" or of_torchvision(arch),
        convert=timm_conversion if library == "timm" else None,
    )


def without_weights(stage: Stage) -> Stage:
    """Return the stage without given weights, sufficient for the model's structure."""
    return replace(stage, model=replace(stage.model, weights=None))


def build_on_meta(stage: Stage, shape: ImageShape) -> nn.Module:
    """Build the stage's model on the meta device, without memory for weights."""
    with torch.device("meta"):
        return build(without_weights(stage), shape, None)


def count_sizes(stage: Stage, shape: ImageShape) -> tuple[int, int]:
    """Return the number of parameters, and of multiply-accumulates per image."""
    image = (shape.channels, shape.image_size, shape.image_size)
    return count_parameters(build_on_meta(stage, shape)), count_macs(
        lambda: build(without_weights(stage), shape, None), image
    )


def normalization(
    data: ImageData, source: WeightsSource | None, given: NormalizationConfig | None = None
) -> dict[str, list[float]]:
    """Return mean and deviation for the weights: as given, the card's, or the data set's.

    Raises:
        ConfigError: the given number of channels is not the images'.
    """
    if given is not None and given.mean:
        if len(given.mean) != data.channels:
            raise ConfigError(
                f"teacher.normalization, student.normalization: {len(given.mean)} means and "
                f"deviations are given, but the images have {data.channels} "
                f"channel{'s' if data.channels > 1 else ''}; give one of each per channel"
            )
        return {"mean": list(given.mean), "std": list(given.std)}
    own = {"mean": list(data.mean), "std": list(data.std)}
    card = own if source is None else source.card.get("normalization", own)
    # The card does not apply to colour weights whose first kernel was summed for grey images.
    return card if len(card["mean"]) == data.channels else own
