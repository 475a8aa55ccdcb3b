"""A plain convolutional network of any width and depth, for small students and quick trials."""

import torch.nn.functional as F
from torch import Tensor, fx, nn

from kdrun.models.architectures.initialization import initialize_convolutions


class ConvNet(nn.Module):
    """`depth` blocks of convolution-BatchNorm-ReLU and pooling, `width`, 2·`width`, … channels."""

    def __init__(
        self, *, num_classes: int, in_channels: int = 3, width: int = 32, depth: int = 3
    ) -> None:
        super().__init__()
        self.depth = depth
        channels = [in_channels, *(width * 2**index for index in range(depth))]
        for number in range(1, depth + 1):
            setattr(self, f"layer{number}", _block(channels[number - 1], channels[number]))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels[-1], num_classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) images -> (N, num_classes) logits."""
        for number in range(1, self.depth + 1):
            x = _halve(getattr(self, f"layer{number}")(x))
        return self.fc(self.avgpool(x).flatten(1))


@fx.wrap
def _halve(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2) if min(x.shape[-2:]) >= 4 else x


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
