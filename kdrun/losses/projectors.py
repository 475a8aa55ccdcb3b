"""Projections between hidden states of different width: trained, or fitted by least squares."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdrun.losses.least_squares import ProjectionFit


def rows_of(hidden: Tensor) -> Tensor:
    """Reshape (N, C, H, W), (N, L, d) or (N, d) states to rows of the hidden width."""
    channels_last = hidden.movedim(1, -1) if hidden.ndim == 4 else hidden
    return channels_last.reshape(-1, channels_last.shape[-1])


class Projector(nn.Module):
    """Linear and BatchNorm from the student's width to the teacher's, trained with the student.

    A 1x1 convolution on maps (Romero et al., 2015).
    """

    def __init__(self, student_width: int, teacher_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(student_width, teacher_width, bias=False)
        self.norm = nn.BatchNorm1d(teacher_width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Project hidden states from the student's to the teacher's width; other dims are kept."""
        projected = self.norm(self.linear(rows_of(hidden.float())))
        if hidden.ndim == 4:
            batch, _, height, width = hidden.shape
            return projected.view(batch, height, width, -1).movedim(-1, 1)
        return projected.view(*hidden.shape[:-1], -1)


class FittedProjection(nn.Module):
    """The least-squares projection from the teacher's width to the student's, refitted each epoch.

    Applied to rows of unit mean square, so that the student cannot lower the loss by shrinking.
    Never trained: learning both sides jointly would collapse them to zero.
    """

    weight: Tensor

    def __init__(self, student_width: int, teacher_width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(student_width, teacher_width))

    def sums(self) -> ProjectionFit:
        """Empty sums for a fit on normalised rows of teacher and student."""
        student_width, teacher_width = self.weight.shape
        return ProjectionFit(teacher_width, student_width, self.weight.device)

    def take(self, sums: ProjectionFit) -> float:
        """Set the weight to the solution of the sums; return 1 - R^2."""
        solved = sums.solve()
        self.weight.copy_(solved.weight)
        return solved.unexplained

    def forward(self, teacher: Tensor) -> Tensor:
        """Project normalised (R, d_T) rows to (R, d_S), without gradient."""
        return F.linear(teacher.detach(), self.weight)


def normalized_rows(hidden: Tensor) -> Tensor:
    """Hidden states as float32 rows of mean square 1."""
    rows = rows_of(hidden.float())
    return F.normalize(rows, dim=-1) * rows.shape[-1] ** 0.5
