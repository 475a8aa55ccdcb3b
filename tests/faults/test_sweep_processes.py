"""Whole sweeps as processes: killed, told to stop, and gone on with."""

import os
import signal
import subprocess
import sys
import time

import pytest

from kdrun.store.files import read_json

pytestmark = pytest.mark.slow

KDRUN = (sys.executable, "-c", "from kdrun.cli import main; main()")
QUICK = (
    *("analysis=off",),  # a page for each run would take longer than the runs
    *("teacher=mlp", "teacher.width=8", "student=mlp", "student.width=4", "train.device=cpu"),
    *("teacher.min_accuracy=0", "chain.control=false", "train.epochs=30", "loss.T=1,2"),
    *("train.batch_size=32", "train.precision=fp32"),
)


class Sweep:
    """A sweep of two jobs in a process group of its own."""

    def __init__(self, folder):
        self.root = folder
        self.printed = folder / "printed.txt"
        with self.printed.open("w") as out:
            self.process = subprocess.Popen(
                [*KDRUN, "-m", *QUICK],
                cwd=folder,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def folder(self):
        return next(self.root.glob("outputs/sweeps/*"))

    def until(self, job):
        """Wait until the job has trained an epoch; returns its process's id."""
        for _ in range(6000):
            if (
                list(self.root.glob(f"outputs/sweeps/*/{job}/metrics.jsonl"))
                and (self.folder / str(job) / "metrics.jsonl").stat().st_size
            ):
                return read_json(self.folder / str(job) / "status.json")["pid"]
            time.sleep(0.01)
        raise AssertionError(self.printed.read_text())

    def leaves(self, within):
        """The exit code."""
        return self.process.wait(timeout=within)

    def resume(self):
        """`kdrun resume`; its exit code and what it printed."""
        done = subprocess.run(
            [*KDRUN, "resume", str(self.folder)],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def statuses(self):
        content = read_json(self.folder / "sweep.json")
        return {job["job"]: job["status"] for job in content["jobs"]}


@pytest.fixture
def sweep(tmp_path):
    sweep = Sweep(tmp_path)
    yield sweep
    if sweep.process.poll() is None:
        sweep.process.kill()


def test_a_job_killed_as_for_memory_leaves_the_others_alone_and_is_retried(sweep):
    os.kill(sweep.until(0), signal.SIGKILL)
    assert sweep.leaves(within=60) == 137
    assert sweep.statuses() == {"0": "failed", "1": "done"}
    assert "failed: its process was killed by SIGKILL" in " ".join(
        sweep.printed.read_text().split()
    )
    kept = {path: path.stat().st_mtime_ns for path in (sweep.folder / "1").glob("*.json*")}
    code, printed = sweep.resume()
    assert code == 0, printed
    assert sweep.statuses() == {"0": "done", "1": "done"}
    assert "job 0 (failed)" in printed
    assert "job 1 (" not in printed
    assert {path: path.stat().st_mtime_ns for path in (sweep.folder / "1").glob("*.json*")} == kept


def test_a_killed_sweep_is_gone_on_with_at_once(sweep):
    sweep.until(1)
    sweep.process.kill()
    sweep.leaves(within=5)
    code, printed = sweep.resume()
    assert code == 0, printed
    assert sweep.statuses() == {"0": "done", "1": "done"}
    assert "job 0 (" not in printed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("everyone", [False, True], ids=["parent", "group"])
def test_a_sweep_told_to_stop_leaves_with_75_within_ten_seconds(sweep, number, everyone):
    sweep.until(0)
    (os.killpg if everyone else os.kill)(sweep.process.pid, number)
    assert sweep.leaves(within=10) == 75
    assert read_json(sweep.folder / "0" / "status.json")["status"] == "stopped"
    printed = sweep.printed.read_text()
    assert "Traceback" not in printed
    assert "continues" in printed.splitlines()[-1]
