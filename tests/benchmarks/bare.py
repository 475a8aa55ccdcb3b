"""The limits: what the networks alone cost, on normalised images that are held in memory."""

from itertools import cycle, islice

import torch.nn.functional as F
from torch import Tensor

from kdrun.training.optimizer import build_optimizer
from tests.benchmarks.pairs import Parts
from tests.benchmarks.rounds import Contender, Mark

BATCHES = 4
T, ALPHA = 4.0, 0.9


class BareLoop:
    """Forward, loss, backward, update, and nothing else.

    Args:
        parts: whose networks, precision and images are used.
        teacher: whether the folded and fused teacher runs too; without it the loss is the labels'.
    """

    def __init__(self, parts: Parts, teacher: bool) -> None:
        options = parts.stage_run.stage.train
        self.parts = parts
        self.student = parts.network(parts.stage_run).train()
        self.optimizer = build_optimizer(
            options.optimizer,
            list(self.student.parameters()),
            lr=options.lr,
            momentum=options.momentum,
            nesterov=options.nesterov,
            weight_decay=options.weight_decay,
        )
        batches = parts.context.data.train.train_batches(
            parts.batch_size, seed=0, view=0, augment="none"
        )
        held = [(parts.normalizer(b.images), b.labels) for b in islice(batches, BATCHES)]
        self.batches = cycle(held)
        self.teacher = parts.teacher() if teacher else None
        if self.teacher is not None:
            self.teacher.watch()

    def run(self, steps: int, mark: Mark) -> None:
        """Do so many steps."""
        for images, labels in islice(self.batches, steps):
            targets = None if self.teacher is None else self.teacher.outputs(images).logits
            with self.parts.context.autocast():
                logits = self.student(images)
            distillation(logits.float(), targets, labels).backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            mark()


def distillation(student: Tensor, teacher: Tensor | None, labels: Tensor) -> Tensor:
    """0.1 cross-entropy + 0.9 T^2 KL, written out; without a teacher the cross-entropy."""
    hard = F.cross_entropy(student, labels)
    if teacher is None:
        return hard
    soft = F.kl_div(F.log_softmax(student / T, 1), F.softmax(teacher / T, 1), reduction="batchmean")
    return (1 - ALPHA) * hard + ALPHA * T * T * soft


def bare_contenders(parts: Parts) -> list[Contender]:
    """The student alone, and with the teacher."""
    precision = parts.context.precision
    alone, both = BareLoop(parts, teacher=False), BareLoop(parts, teacher=True)
    return [
        Contender("bare student", precision, alone.run),
        Contender("bare teacher + student", precision, both.run),
    ]
