"""Refusal of a command that a launcher of processes started several times."""

import os

from kdrun.errors import ConfigError

LAUNCHERS = {
    "torchrun": ("RANK", "WORLD_SIZE"),
    "srun": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    "mpirun": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
}
"""Variables with the number of a process and the number of processes, by launcher."""


def refuse_several_processes() -> None:
    """Refuse to run if the same command was started in several processes.

    Raises:
        ConfigError: there are several. Every process raises it, because a launcher may end the
            others after the first.
    """
    for launcher, (rank, count) in LAUNCHERS.items():
        processes = os.environ.get(count, "1")
        if rank not in os.environ or not processes.isdecimal() or int(processes) < 2:
            continue
        raise ConfigError(
            f"{launcher} started this command in {processes} processes, and each would be a run "
            "of its own: start kdrun once, for one device; a sweep uses several by "
            "-m hydra/launcher=submitit_slurm, joblib or ray"
        )
