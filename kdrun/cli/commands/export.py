"""`kdrun export`."""

from collections.abc import Sequence

from kdrun.cli.arguments import named_folder, places_given, taken_option
from kdrun.errors import ConfigError, near_miss
from kdrun.escaping import show
from kdrun.signals import importing

EXPORTS = ("safetensors", "pt2", "onnx")


def export(words: Sequence[str]) -> None:
    """Export the student: `kdrun export DIR [--format safetensors,pt2] [overrides]`."""
    form, names = taken_option(words, "--format")
    folder, rest = named_folder("export", names)
    changes = places_given(rest)
    wanted = (form or "safetensors,pt2").split(",")
    for name in wanted:
        if name not in EXPORTS:
            hint = near_miss(name, EXPORTS)
            raise ConfigError(f"--format {name}: must be one of {', '.join(EXPORTS)}{hint}")
    with importing():
        from kdrun.export.model_card import seed_words
        from kdrun.export.student import export_student
        from kdrun.loggers.tables import percent

    card = export_student(folder, wanted, changes)
    right = f"{percent(card['test_accuracy'])} of {card['test_images']} test images"
    show(f"{card['arch']}: {right}, in float32")
    if seeds := seed_words(card):
        show(f"  {seeds}")
    for entry in card["files"].values():
        show(
            f"  {folder / 'export' / entry['file']}: {entry['bytes']:,} bytes, same accuracy, "
            f"logits within {entry['max_logit_difference']:.2g}, "
            f"{entry['latency']['median_ms']:.3g} ms per image on the CPU"
        )
    show(f"model card: {folder / 'export' / 'README.md'}")
