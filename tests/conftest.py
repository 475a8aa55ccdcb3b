"""What several tests start from."""

import os
import signal

import pytest
import torch
from hydra import compose, initialize_config_dir

from kdrun.config import compose as kdrun_compose
from kdrun.config.parse import parse
from kdrun.config.paths import config_folder
from kdrun.training.state import TrainState


@pytest.fixture(autouse=True)
def no_more_threads():
    """A test may set them, for itself alone."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """No test reads or writes the cache folder of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRUN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Models this small lose by more threads, badly so beside other work."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of processes started by tests
    # Read when the first test uses CUDA, and needed by those that ask for exact repeats.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.fixture(scope="session")
def make_config():
    """Overrides -> checked Config, as the command line makes it."""
    kdrun_compose.register()

    def make(*overrides: str):
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return parse(compose("config", list(overrides)))

    return make


@pytest.fixture
def stop_at(monkeypatch):
    """Send this process SIGINT after so many updates of all the stages together."""

    def stop_at(updates):
        done = [0]

        def count(training: TrainState, name, value):
            object.__setattr__(training, name, value)
            if name == "update" and value > 0:
                done[0] += 1
                if done[0] == updates:
                    os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(TrainState, "__setattr__", count)

    yield stop_at
    monkeypatch.undo()
