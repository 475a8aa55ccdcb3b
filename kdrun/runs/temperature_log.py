"""The temperatures that a run has chosen: its `temperature.json`."""

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
    """The T chosen for a stage of the plan.

    Attributes:
        entry: its line of `temperature.json`, with what T was chosen from.
    """

    entry: dict[str, Any]

    @property
    def position(self) -> int:
        """The stage's place in the plan."""
        return int(self.entry["stage"])

    @property
    def T(self) -> float:
        """The temperature."""
        return float(self.entry["T"])

    def made_for(self, position: int, stage_run: StageRun, teacher: StageRun) -> bool:
        """Whether it is the choice for the undecided stage, by its method and from its teacher."""
        key = {
            "stage": position,
            "teacher": teacher.digest,
            "method": stage_run.stage.temperature.method,
        }
        # An earlier kdrun did not write which stage it chose for.
        for_digest = self.entry.get("for", stage_run.digest)
        return key.items() <= self.entry.items() and for_digest == stage_run.digest


class TemperatureLog:
    """The choices of a run.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / TEMPERATURE

    def read(self) -> list[Choice]:
        """The choices so far.

        Raises:
            DamagedError: the file is not as it was written.
        """
        if not self.path.exists():
            return []
        return [Choice(entry) for entry in read_shaped(self.path, TEMPERATURES)["choices"]]

    def append(self, choice: Choice) -> None:
        """Add the choice, in place of an earlier one for the same stage."""
        others = [one.entry for one in self.read() if one.position != choice.position]
        write_sealed(self.path, {"format": 1, "choices": [*others, choice.entry]})

    def find(self, position: int, stage_run: StageRun, teacher: StageRun) -> Choice | None:
        """The choice that was made for the undecided stage, if one was."""
        made = (choice for choice in self.read() if choice.made_for(position, stage_run, teacher))
        return next(made, None)
