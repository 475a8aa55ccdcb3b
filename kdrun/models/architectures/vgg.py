"""VGG with BatchNorm for small images, as used in the distillation literature."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, fx, nn

from kdrun.models.architectures.initialization import initialize_convolutions

WIDTHS = (64, 128, 256, 512, 512)


class CifarVGG(nn.Module):
    """Five stages of `convolutions` 3×3 convolutions each, average pooling, a linear head."""

    def __init__(self, *, num_classes: int, in_channels: int = 3, convolutions: int) -> None:
        super().__init__()
        self.layer1 = _stage(in_channels, WIDTHS[0], convolutions)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], convolutions)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], convolutions)
        self.layer4 = _stage(WIDTHS[2], WIDTHS[3], convolutions)
        self.layer5 = _stage(WIDTHS[3], WIDTHS[4], convolutions)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(WIDTHS[4], num_classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) images -> (N, num_classes) logits."""
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = _halve(stage(x))
        return self.fc(self.avgpool(self.layer5(x)).flatten(1))


@fx.wrap
def _halve(x: Tensor) -> Tensor:
    # 32×32 images keep the literature's 4×4 maps in the last two stages; 8×8 images do not vanish.
    return F.max_pool2d(x, 2) if min(x.shape[-2:]) > 4 else x


def _stage(in_channels: int, out_channels: int, convolutions: int) -> nn.Sequential:
    widths = [in_channels] + [out_channels] * convolutions
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)
