"""The options that each temperature schedule reads. Imports no torch."""

# What each temperature schedule reads beside loss.T.
SCHEDULE_OPTIONS: dict[str, tuple[str, ...]] = {
    "constant": (),
    "linear": ("end",),
    "cosine": ("end",),
    "exponential": ("end",),
    "step": ("end", "gamma", "every"),
    "learned": ("warmup_epochs",),
    "auto": ("method", "pilot_share"),  # before T is known; afterwards it is a constant
}
