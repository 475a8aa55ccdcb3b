"""Time and extra memory of the relational losses against their plain formulations.

    python -m tests.benchmarks.rkd [--device cuda] [--threads 2]

One line a batch size: milliseconds of forward and backward (best of several), and how far the
memory rose above the inputs. On the CPU the memory is the process's own, so Linux only.
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.losses import rkd_angle_loss, rkd_distance_loss
from tests.benchmarks.memory import extra_memory


def plain_angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Unit vectors of all pairs in one (N, N, d) tensor, cosines of all triples in another."""

    def cosines(x: Tensor) -> Tensor:
        directions = F.normalize(x[None] - x[:, None], dim=2)
        return torch.bmm(directions, directions.transpose(1, 2))

    with torch.no_grad():
        target = cosines(teacher)
    return F.smooth_l1_loss(cosines(student), target)


def plain_distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Differences of all pairs in one (N, N, d) tensor."""

    def relative(x: Tensor) -> Tensor:
        distances = (x[None] - x[:, None]).norm(dim=2)
        return distances / distances[distances > 0].mean()

    with torch.no_grad():
        target = relative(teacher)
    return F.smooth_l1_loss(relative(student), target)


def step(loss: Callable[[Tensor, Tensor], Tensor], student: Tensor, teacher: Tensor) -> None:
    """Forward and backward, finished when it returns."""
    student.grad = None
    loss(student, teacher).backward()
    if student.is_cuda:
        torch.cuda.synchronize()


def milliseconds(run: Callable[[], None], repeats: int) -> float:
    """The best of several runs after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = {
        "angle": (rkd_angle_loss, plain_angle_loss),
        "distance": (rkd_distance_loss, plain_distance_loss),
    }
    print(f"{options.device}, {options.threads} threads, width {options.width}")
    print(
        f"{'loss':>9} {'N':>5} {'ms':>9} {'plain ms':>9} {'ratio':>6} {'MiB':>7} {'plain MiB':>9}"
    )
    for name, losses in pairs.items():
        for samples in options.batches:
            student = torch.randn(samples, options.width, device=options.device)
            teacher = torch.randn(samples, options.width, device=options.device)
            student.requires_grad_()
            measured = []
            for loss in losses:

                def run(loss=loss, student=student, teacher=teacher) -> None:
                    step(loss, student, teacher)

                measured.append(
                    (milliseconds(run, options.repeats), extra_memory(run, student.device) or 0.0)
                )
            (ms, mib), (plain_ms, plain_mib) = measured
            print(
                f"{name:>9} {samples:>5} {ms:>9.2f} {plain_ms:>9.2f} {plain_ms / ms:>6.1f} "
                f"{mib:>7.1f} {plain_mib:>9.1f}"
            )


if __name__ == "__main__":
    main()
