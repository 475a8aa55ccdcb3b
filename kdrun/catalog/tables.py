"""Tables of the catalog by config key. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from kdrun.catalog.chains import CHAIN_METHODS
from kdrun.catalog.datasets import DATASETS
from kdrun.catalog.optimizers import OPTIMIZERS
from kdrun.catalog.rows import Row, readers
from kdrun.catalog.schedules import RATE_SCHEDULES, TEMPERATURE_METHODS, TEMPERATURE_SCHEDULES


@dataclass(frozen=True)
class Table:
    """The rows that a config key selects from.

    Attributes:
        key: config key, such as `temperature.schedule`.
        common: options of the section that apply to every row.
    """

    key: str
    rows: Mapping[str, Row]
    common: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        """The config section that holds the key and the options of the rows."""
        return self.key.rpartition(".")[0]

    def unread(self, option: str, chosen: str) -> bool:
        """Whether an option is read by other rows only."""
        found = readers(self.rows, option)
        return bool(found) and option not in self.common and chosen not in found


TABLES = (
    Table("dataset.name", DATASETS, common=("image_size",)),
    Table("chain.method", CHAIN_METHODS),
    Table("temperature.schedule", TEMPERATURE_SCHEDULES),
    Table("temperature.method", TEMPERATURE_METHODS),
    Table("train.optimizer", OPTIMIZERS),
    Table("train.schedule", RATE_SCHEDULES),
)
