"""What finished stages say of the images they are measured on."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kdrun.data.batch import Split
from kdrun.data.views import Normalizer
from kdrun.device import place
from kdrun.job import Job, Setting, predictor
from kdrun.stage import build, normalization
from kdrun.weights_source import stage_weights


def best_network(job: Job, setting: Setting) -> tuple[nn.Module, Normalizer]:
    """The finished stage's model with its best weights, on the device, and its normalisation."""
    source = stage_weights(job.folder, str(job.folder))
    network = place(
        build(job.stage, setting.data.shape, source), setting.device, job.stage.train.channels_last
    )
    return network, Normalizer(**normalization(setting.data, source)).to(setting.device)


@torch.inference_mode()
def logits_on(job: Job, setting: Setting, splits: Mapping[str, Split]) -> dict[str, Tensor]:
    """(N, K) float64 logits on the CPU of each split's images in their order, in eval mode."""
    network, normalizer = best_network(job, setting)
    predict = predictor(network, normalizer, setting)
    size = job.stage.train.eval_batch_size
    return {
        name: torch.cat([predict(batch).double().cpu() for batch in split.batches(size)])
        for name, split in splits.items()
    }
