"""A loss term that uses all that the protocol of terms offers."""

import torch
from torch import nn

from kdrun.losses.term import LossTerm, linear_warmup


class MeanFit:
    """The mean of the teacher's probabilities over the images that are given before an epoch."""

    def __init__(self, term):
        self.term = term
        self.rows = []

    def update(self, student, teacher):
        """Add a batch."""
        self.rows.append(teacher.logits.softmax(1))

    def finish(self):
        """Hand the mean to the term."""
        self.term.prior.copy_(torch.cat(self.rows).mean(0))


class MemoryTerm(LossTerm):
    """Squared distance of a scaled student to a memory of the teacher's head, by image."""

    def __init__(self, images, classes, head, rise):
        super().__init__()
        self.head = [head]  # in a list: its weights are the teacher's, not the term's
        self.rise = rise
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("memory", torch.zeros(images, classes))
        self.register_buffer("visits", torch.zeros(images))
        self.register_buffer("prior", torch.zeros(classes))

    @classmethod
    def build(cls, options, models):
        """The term for the training images and the teacher's head."""
        models.penultimate()  # has its input observed
        return cls(models.num_images, models.num_classes, models.teacher_head(), options.rise)

    def forward(self, student, teacher, labels, context):
        """The loss of a batch; its images are remembered."""
        with torch.no_grad():
            features = teacher.hidden["penultimate"].flatten(1)
            answers = self.head[0](features).softmax(1) - self.prior
            if self.training:
                self.visits[context.indices] += 1
                self.memory[context.indices] = answers
        probs = (self.scale * student.logits).softmax(1) - self.prior
        return (probs - self.memory[context.indices]).square().sum(1).mean()

    def strength(self, epoch):
        """Rise linearly over the first epochs."""
        return linear_warmup(epoch, self.rise)

    def epoch_fit(self):
        """The teacher's mean probabilities."""
        return MeanFit(self)

    def numbers(self):
        """How often images were visited, the trained scale, the sum of the prior."""
        return {
            "least": float(self.visits.min()),
            "most": float(self.visits.max()),
            "scale": float(self.scale),
            "prior": float(self.prior.sum()),
        }
