"""Log of a run's chosen temperatures: `temperature.json`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.store.files import write_sealed
from kdrun.store.formats import TEMPERATURES
from kdrun.store.run_folder import TEMPERATURE
from kdrun.store.shapes import read_shaped
from kdrun.training.context import StageRun


@dataclass(frozen=True)
class Choice:
    """Chosen T of a stage.

    Attributes:
        entry: entry of `temperature.json`, with the evidence for T.
    """

    entry: dict[str, Any]

    @property
    def position(self) -> int:
        """Position of the stage in the plan."""
        return int(self.entry["stage"])

    @property
    def T(self) -> float:
        """The temperature."""
        return float(self.entry["T"])

    def made_for(self, position: int, stage_run: StageRun, teacher: StageRun) -> bool:
        """Whether the choice was made for the undecided stage, with its method and teacher."""
        key = {
            "stage": position,
            "teacher": teacher.digest,
            "method": stage_run.stage.temperature.method,
        }
        # An earlier kdrun did not record the stage.
        for_digest = self.entry.get("for", stage_run.digest)
        return key.items() <= self.entry.items() and for_digest == stage_run.digest


class TemperatureLog:
    """Log of a run's choices.

    Args:
        folder: folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / TEMPERATURE

    def read(self) -> list[Choice]:
        """Return the choices so far.

        Raises:
            DamagedError: the file fails its checksum.
        """
        if not self.path.exists():
            return []
        return [Choice(entry) for entry in read_shaped(self.path, TEMPERATURES)["choices"]]

    def append(self, choice: Choice) -> None:
        """Add a choice; replace an earlier one for the same stage."""
        others = [one.entry for one in self.read() if one.position != choice.position]
        write_sealed(self.path, {"format": 1, "choices": [*others, choice.entry]})

    def find(self, position: int, stage_run: StageRun, teacher: StageRun) -> Choice | None:
        """Return the choice for the undecided stage, or None."""
        made = (choice for choice in self.read() if choice.made_for(position, stage_run, teacher))
        return next(made, None)
