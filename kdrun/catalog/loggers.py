"""Loggers of epoch metrics. Imports no torch."""

from dataclasses import dataclass

from kdrun.catalog.rows import Row


@dataclass(frozen=True, kw_only=True)
class LoggerRow(Row):
    """A logger; its class takes the run's folder and the flat config.

    Attributes:
        package: required package.
        extra: extra of kdrun that installs the package.
    """

    package: str | None = None
    extra: str | None = None

    @property
    def remedy(self) -> str:
        """The command that installs the package."""
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
