"""Sinks of the epochs' metrics by name. Imports no torch."""

from dataclasses import dataclass

from kdrun.catalog.rows import Row


@dataclass(frozen=True, kw_only=True)
class LoggerRow(Row):
    """A sink; its class takes the run's folder and the flat config.

    Attributes:
        package: that has to be installed for it.
        extra: of kdrun, by which the package is installed.
    """

    package: str | None = None
    extra: str | None = None

    @property
    def remedy(self) -> str:
        """How its package is installed."""
        wanted = self.package if self.extra is None else f"'kdrun[{self.extra}]'"
        return f"pip install {wanted}"


LOGGERS: dict[str, LoggerRow] = {
    "none": LoggerRow(),
    "tensorboard": LoggerRow(
        code="kdrun.loggers.tensorboard:TensorBoard", package="tensorboard", extra="tensorboard"
    ),
    "mlflow": LoggerRow(code="kdrun.loggers.mlflow:Mlflow", package="mlflow", extra="mlflow"),
    "wandb": LoggerRow(code="kdrun.loggers.wandb:Wandb", package="wandb", extra="wandb"),
}
