"""A finished stage's network with its best weights, as it is evaluated and as it teaches."""

from torch import nn

from kdrun.data.views import Normalizer
from kdrun.device import place
from kdrun.job import Job, Setting
from kdrun.stage import build, normalization
from kdrun.weights_source import stage_weights


def load_finished(job: Job, setting: Setting) -> tuple[nn.Module, Normalizer]:
    """The network on its device, and the normalisation that its weights expect.

    Raises:
        DamagedError: its files are not as they were written.
    """
    source = stage_weights(job.folder, str(job.folder))
    network = place(
        build(job.stage, setting.data.shape, source), setting.device, job.stage.train.channels_last
    )
    return network, Normalizer(**normalization(setting.data, source)).to(setting.device)
