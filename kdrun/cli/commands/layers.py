"""`kdrun layers`."""

from collections.abc import Sequence
from typing import Any

from kdrun.cli.arguments import show
from kdrun.errors import ConfigError
from kdrun.signals import importing


def layers(words: Sequence[str]) -> None:
    """Show a model's module paths, shapes and hookable layers: `kdrun layers MODEL [overrides]`."""
    if not words or "=" in words[0] or words[0].startswith("-"):
        raise ConfigError("layers needs a model: kdrun layers resnet20 [dataset=cifar10 ...]")

    def work(config: Any) -> None:
        with importing():
            from kdrun.runs.preview.layers import show_layers

        show_layers(config)

    show(work, [f"student={words[0]}", *words[1:]])
