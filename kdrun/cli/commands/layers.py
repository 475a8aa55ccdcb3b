"""`kdrun layers`."""

from collections.abc import Sequence
from typing import Any

from kdrun.cli.arguments import show
from kdrun.config.flags import split_words
from kdrun.errors import ConfigError
from kdrun.signals import importing


def layers(words: Sequence[str]) -> None:
    """Show a model's module paths, shapes and hookable layers: `kdrun layers MODEL [overrides]`."""
    split = split_words(words)
    named = [word for word in split.rest if "=" not in word]
    if not named:
        raise ConfigError("layers needs a model: kdrun layers resnet20 [dataset=cifar10 ...]")
    split.rest.remove(named[0])

    def work(config: Any) -> None:
        with importing():
            from kdrun.runs.preview.layers import show_layers

        show_layers(config)

    split.rest.insert(0, f"student={named[0]}")
    show(work, split.as_arguments())
