"""Weights & Biases as a sink of the epochs' metrics."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Wandb:
    """An offline run in the run's folder for `wandb sync`; WANDB_MODE overrides the mode."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb  # noqa: PLC0415

        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "kdrun"),
            name=folder.name,
            dir=str(folder),
            config=dict(config),
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Log one step; the epochs of several stages follow each other."""
        self.run.log({**values, "epoch": epoch})

    def close(self) -> None:
        """Finish the W&B run."""
        self.run.finish()
