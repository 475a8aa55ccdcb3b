"""What finished stages say of the images they are measured on."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kdrun.data.batch import Split
from kdrun.finished_model import load_finished
from kdrun.job import Job, Setting, predictor


@torch.inference_mode()
def logits_on(job: Job, setting: Setting, splits: Mapping[str, Split]) -> dict[str, Tensor]:
    """(N, K) float64 logits on the CPU of each split's images in their order, in eval mode."""
    network, normalizer = load_finished(job, setting)
    predict = predictor(network, normalizer, setting)
    size = job.stage.train.eval_batch_size
    return {
        name: torch.cat([predict(batch).double().cpu() for batch in split.batches(size)])
        for name, split in splits.items()
    }
