"""Random inputs of the tests."""

import torch


def generator(seed):
    return torch.Generator().manual_seed(seed)


def logits(seed, samples=30, classes=5, scale=3.0, dtype=torch.float64):
    return (torch.randn(samples, classes, generator=generator(seed)).double() * scale).to(dtype)


def probs(seed, samples=30, classes=5, scale=3.0, dtype=torch.float64):
    return torch.softmax(logits(seed, samples, classes, scale), dim=1).to(dtype)


def labels(seed, samples=30, classes=5):
    return torch.randint(classes, (samples,), generator=generator(seed + 10_000))


def maps(seed, samples=6, heads=3, tokens=5, scale=2.0):
    scores = torch.randn(samples, heads, tokens, tokens, generator=generator(seed)).double()
    return torch.softmax(scale * scores, dim=-1)
