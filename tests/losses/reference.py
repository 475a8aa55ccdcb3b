"""Independent references in plain Python, and the inputs of cross-checks with other codes."""

import math

import torch
import torch.nn.functional as F


def wave(shape, scale, a, b=0.0):
    """scale * sin(a * i + b) of the flat index i, in float64."""
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    return (scale * torch.sin(a * i + b)).reshape(shape)


def pair(seed, samples=5, classes=7, scale=3.0, dtype=torch.float64):
    """Random logits of student and teacher."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(2, samples, classes, generator=generator, dtype=torch.float64) * scale
    return draw.to(dtype).unbind()


def batch(seed, samples=4, classes=6, scale=3.0):
    """Random logits of student and teacher, and class indices."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(2, samples, classes, generator=generator, dtype=torch.float64) * scale
    labels = torch.randint(classes, (samples,), generator=generator)
    return (*draw.unbind(), labels)


def without(row, label):
    """The row but for the label's entry."""
    return row[:label] + row[label + 1 :]


PEER_STUDENT = wave((6, 10), 3, 0.37)
PEER_TEACHER = wave((6, 10), 4, 0.53, 1)
PEER_LABELS = torch.arange(6) * 3 % 10


def probabilities(row, T):
    top = max(row)
    weights = [math.exp((z - top) / T) for z in row]
    return [w / math.fsum(weights) for w in weights]


def rows(logits, T):
    """softmax(logits / T) of each row, as lists of floats."""
    return [probabilities(row, T) for row in logits.tolist()]


def kl(p, q):
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def huber(a, b):
    distance = abs(a - b)
    return 0.5 * distance**2 if distance < 1 else distance - 0.5


def looped_distance_sum(student, teacher):
    """Huber loss of the relative distances of all ordered pairs."""

    def relative(x):
        pairs = {
            (i, j): torch.linalg.vector_norm(x[i] - x[j]).item()
            for i in range(len(x))
            for j in range(len(x))
            if i != j
        }
        mean = sum(pairs.values()) / len(pairs)
        return {pair: distance / mean for pair, distance in pairs.items()}

    ours, theirs = relative(student), relative(teacher)
    return sum(huber(ours[pair], theirs[pair]) for pair in ours)


def looped_angle_sum(student, teacher):
    """Huber loss of the cosines of all ordered triples."""

    def cosine(x, i, j, k):
        return F.cosine_similarity(x[j] - x[i], x[k] - x[i], dim=0).item()

    n = range(len(student))
    return sum(
        huber(cosine(student, i, j, k), cosine(teacher, i, j, k))
        for i in n
        for j in n
        for k in n
        if len({i, j, k}) == 3
    )
