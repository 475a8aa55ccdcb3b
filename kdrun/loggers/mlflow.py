"""MLflow as a sink of the epochs' metrics."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Mlflow:
    """An MLflow run at MLFLOW_TRACKING_URI, by default a database in the run's folder."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        import mlflow  # noqa: PLC0415

        if "MLFLOW_TRACKING_URI" not in os.environ:
            mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').absolute()}")
        self.mlflow = mlflow
        mlflow.set_experiment("kdrun")
        mlflow.start_run(run_name=folder.name)
        mlflow.log_params({key: str(value)[:500] for key, value in config.items()})

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Log each value as a metric."""
        self.mlflow.log_metrics({k.replace(":", "_"): v for k, v in values.items()}, step=epoch)

    def close(self) -> None:
        """End the MLflow run."""
        self.mlflow.end_run()
