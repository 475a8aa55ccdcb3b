"""What several tests start from."""

import os

import pytest
import torch
from hydra import compose, initialize_config_dir

from kdrun.config import compose as kdrun_compose
from kdrun.config.folder import config_folder
from kdrun.config.parse import parse


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Models this small lose by more threads, badly so beside other work."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of processes started by tests


@pytest.fixture(scope="session")
def make_config():
    """Overrides -> checked Config, as the command line makes it."""
    kdrun_compose.register()

    def make(*overrides: str):
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return parse(compose("config", list(overrides)))

    return make
