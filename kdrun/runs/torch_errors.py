"""Errors of torch that a user can mend, recognised by their text."""

from dataclasses import dataclass

from kdrun.errors import ConfigError, KdrunError, NumericError, reason


@dataclass(frozen=True)
class TorchError:
    """A kind of error that torch raises without a class of its own.

    Attributes:
        texts: of which its message holds one, in torch 2.9 to 2.14.
        error: the class that a user meets.
        line: for the user, of the stage's {title} and the {first} line of torch's message.
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
    # A device's allocator says the one, the CPU's the other.
    TorchError(
        ("out of memory", "allocate"),
        NumericError,
        "{title}: {first} Try a smaller train.batch_size",
    ),
)


def translate(error: RuntimeError, title: str) -> KdrunError | None:
    """The error as a user meets it; None where the user can do nothing about it."""
    for known in TORCH_ERRORS:
        if any(text in str(error) for text in known.texts):
            return known.error(known.line.format(title=title, first=reason(error)))
    return None
