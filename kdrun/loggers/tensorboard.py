"""TensorBoard as a sink of the epochs' metrics."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoard:
    """Event files in the run's folder; a resumed run logs all its epochs again."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

        target = folder / "tensorboard"
        shutil.rmtree(target, ignore_errors=True)
        self.writer = SummaryWriter(str(target))  # type: ignore[no-untyped-call]
        rows = "".join(f"    {key}: {value}\n" for key, value in config.items())
        self.writer.add_text("config", rows)  # type: ignore[no-untyped-call]

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Log each value as a scalar."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, epoch)  # type: ignore[no-untyped-call]
        self.writer.flush()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close the event file."""
        self.writer.close()  # type: ignore[no-untyped-call]
