"""Pairs of student and teacher layers to compare."""

from collections import defaultdict
from collections.abc import Sequence

from kdrun.errors import ConfigError
from kdrun.features.layers import LayerInfo
from kdrun.losses import layer_map


def stages(layers: list[LayerInfo]) -> list[str]:
    """The stages of a model, comparable within a family, from input to logits.

    For a CNN on square images, one container per map size, largest first: the last of the least
    deeply nested ones; single layers if there are fewer than two such containers. 1×1 maps count
    only if there are no others. For a transformer, its blocks. Only layers that are called once,
    return one tensor and are not overwritten in place are chosen.

    Empty for models without maps or tokens, and for Swin transformers: their (H, W, C) maps look
    like (C, H, W) maps.
    """
    if any(layer.kind.startswith("Swin") for layer in layers):
        return []
    parents = {_parent(layer.path) for layer in layers}
    usable = [layer for layer in layers if layer.calls == 1 and not layer.overwritten]
    containers = [layer for layer in usable if layer.path in parents]
    maps = _per_size([layer for layer in containers if _map_size(layer)])
    if len(maps) >= 2:
        return maps
    leaves = [layer for layer in usable if layer.path not in parents and _map_size(layer)]
    return _blocks(containers) or _per_size(leaves) or maps


def match(student_layers: list[str], teacher_layers: list[str]) -> list[tuple[str, str]]:
    """Pair each student layer with the teacher layer at the same relative depth, last with last.

    ValueError if either side has no layers.
    """
    numbers = layer_map(len(student_layers), len(teacher_layers))
    return [
        (student_layer, teacher_layers[number - 1])
        for student_layer, number in zip(student_layers, numbers, strict=True)
    ]


def parse_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Parse 'layer2:layer3', or 'layer2' for both, to (student layer, teacher layer).

    Raises:
        ConfigError: a side is empty, or there are more than two.
    """
    pairs = []
    for name in names:
        sides = [side.strip() for side in name.split(":")]
        if len(sides) > 2 or not all(sides):
            raise ConfigError(
                f"layers to compare must be 'STUDENT:TEACHER', or one name for both, got '{name}'"
            )
        pairs.append((sides[0], sides[-1]))
    return pairs


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _map_size(layer: LayerInfo) -> int:
    """Height of a square (C, H, W) map; 0 for anything else, such as windows of tokens."""
    match layer.shape:
        # Pooling to a fixed size may enlarge a small map: VGG's output is always 7×7.
        case (_, height, width) if height == width and layer.kind != "AdaptiveAvgPool2d":
            return height
    return 0


def _per_size(maps: list[LayerInfo]) -> list[str]:
    """The last of the least nested layers of each map size, largest size first."""
    by_size: dict[int, list[LayerInfo]] = defaultdict(list)
    for layer in maps:
        by_size[_map_size(layer)].append(layer)
    if len(by_size) > 1:
        by_size.pop(1, None)
    return [_outermost(by_size[size]) for size in sorted(by_size, reverse=True)]


def _outermost(layers: list[LayerInfo]) -> str:
    # min returns the first of equal items: hence in reverse order.
    return min(reversed(layers), key=lambda layer: layer.path.count(".")).path


def _blocks(containers: list[LayerInfo]) -> list[str]:
    """The containers of (L, d) tokens with the most siblings of the same kind."""
    siblings: dict[tuple[str, str], list[str]] = defaultdict(list)
    for layer in containers:
        if layer.shape is not None and len(layer.shape) == 2:
            siblings[_parent(layer.path), layer.kind].append(layer.path)
    return max(siblings.values(), key=len, default=[])
