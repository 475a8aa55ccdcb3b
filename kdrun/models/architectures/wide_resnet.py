"""Wide residual networks with pre-activation (Zagoruyko & Komodakis, 2016)."""

from torch import Tensor, nn

from kdrun.models.architectures.initialization import initialize_convolutions


class PreActivationBlock(nn.Module):
    """Two BatchNorm-ReLU-convolutions and a shortcut; nothing after the sum."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H/stride, W/stride)."""
        active = self.relu1(self.bn1(x))
        # The projection takes the activated input, the identity the raw one, as in the paper.
        raw = x if isinstance(self.shortcut, nn.Identity) else active
        hidden = self.relu2(self.bn2(self.conv1(active)))
        return self.conv2(hidden) + self.shortcut(raw)


class WideResNet(nn.Module):
    """`depth` = 6n+4 layers; the stages are 16, 32 and 64 times `widen` channels wide."""

    def __init__(self, *, num_classes: int, in_channels: int = 3, depth: int, widen: int) -> None:
        super().__init__()
        blocks, remainder = divmod(depth - 4, 6)
        assert remainder == 0 < blocks, f"depth {depth} is not 6n+4"
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.layer1 = _stage(16, 16 * widen, blocks, stride=1)
        self.layer2 = _stage(16 * widen, 32 * widen, blocks, stride=2)
        self.layer3 = _stage(32 * widen, 64 * widen, blocks, stride=2)
        self.bn = nn.BatchNorm2d(64 * widen)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64 * widen, num_classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) images -> (N, num_classes) logits."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.fc(self.avgpool(self.relu(self.bn(x))).flatten(1))


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = PreActivationBlock(in_channels, out_channels, stride)
    rest = [PreActivationBlock(out_channels, out_channels, stride=1) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)
