"""Errors of torch that a user can fix, recognised by text."""

from dataclasses import dataclass

from kdrun.errors import ConfigError, KdrunError, NumericError, reason


@dataclass(frozen=True)
class TorchError:
    """Kind of torch error without a separate class.

    Attributes:
        texts: alternatives contained in the message, in torch 2.9 to 2.14.
        error: class of the translated error.
        line: template of the message, with the stage's {title} and the {first} line of torch's.
    """

    texts: tuple[str, ...]
    error: type[KdrunError]
    line: str


TORCH_ERRORS = (
    TorchError(
        ("does not have a deterministic implementation",),
        ConfigError,
        "train.deterministic: {title}: {first}",
    ),
    # The first text is a device allocator's, the second the CPU's.
    TorchError(
        ("out of memory", "allocate"),
        NumericError,
        "{title}: {first} Try a smaller train.batch_size",
    ),
)


def translate(error: RuntimeError, title: str) -> KdrunError | None:
    """Return the error for the user; None if the user cannot fix the cause."""
    for known in TORCH_ERRORS:
        if any(text in str(error) for text in known.texts):
            return known.error(known.line.format(title=title, first=reason(error)))
    return None
