"""A multilayer perceptron on flattened images (the shallow student of Ba & Caruana, 2014)."""

from torch import Tensor, nn


class MLP(nn.Module):
    """`depth` hidden layers of `width` units with ReLU, then a linear head."""

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        image_size: int = 32,
        width: int = 256,
        depth: int = 1,
    ) -> None:
        super().__init__()
        self.depth = depth
        features = [in_channels * image_size**2, *[width] * depth]
        for number in range(1, depth + 1):
            setattr(self, f"layer{number}", _layer(features[number - 1], features[number]))
        self.fc = nn.Linear(features[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, image_size, image_size) images -> (N, num_classes) logits."""
        x = x.flatten(1)
        for number in range(1, self.depth + 1):
            x = getattr(self, f"layer{number}")(x)
        return self.fc(x)


def _layer(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_features, out_features), nn.ReLU())
