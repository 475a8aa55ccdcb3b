"""Resizing and channel statistics of (N, H, W, C) uint8 images in memory."""

import numpy as np
import torch
from torch.nn.functional import interpolate

CHUNK = 1024  # images resized at a time, to bound the memory of their floats


def resized(pixels: np.ndarray, image_size: int) -> np.ndarray:
    """Resize images to a square (bilinear, antialiased); unchanged if already of that size."""
    if pixels.shape[1] == image_size:
        return pixels
    result = np.empty((len(pixels), image_size, image_size, pixels.shape[3]), np.uint8)
    for start in range(0, len(pixels), CHUNK):
        images = torch.from_numpy(pixels[start : start + CHUNK]).permute(0, 3, 1, 2).float()
        images = interpolate(images, (image_size, image_size), mode="bilinear", antialias=True)
        images = images.round_().clamp_(0, 255).permute(0, 2, 3, 1)
        result[start : start + CHUNK] = images.numpy()
    return result


def channel_statistics(pixels: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, pixels scaled to [0, 1]; exact in any order."""
    values = np.arange(256) / 255
    means, deviations = [], []
    for channel in torch.from_numpy(pixels).unbind(3):
        counts = torch.bincount(channel.reshape(-1), minlength=256).numpy()
        mean = np.average(values, weights=counts)
        means.append(float(mean))
        deviations.append(float(np.average((values - mean) ** 2, weights=counts) ** 0.5))
    return tuple(means), tuple(deviations)
