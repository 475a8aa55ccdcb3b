"""torchvision's pretrained weights: lookup by name, download, loading."""

import logging
import re
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import nn
from torchvision.models import WeightsEnum, get_model_weights

from kdrun.errors import WeightsError, near_miss
from kdrun.models.weights.given import load_given
from kdrun.models.weights.safe_load import file_sha256

_log = logging.getLogger(__name__)


def find_weights(arch: str, name: str) -> WeightsEnum:
    """torchvision's entry for the weights `name` of `arch`; WeightsError if there is none."""
    available = get_model_weights(arch).__members__
    if name not in available:
        raise WeightsError(
            f"{arch} has no weights '{name}'{near_miss(name, available)}; "
            f"there are {', '.join(available)} (or give a file)"
        )
    return available[name]


def load_published(model: nn.Module, arch: str, weights: WeightsEnum) -> None:
    """Load published weights into torchvision's `arch`, built with all their classes.

    A vision transformer's position embeddings are interpolated to the model's image size.
    """
    file = fetch(weights.url)
    try:
        load_given(model, file, source=f"the weights {weights.name} of {arch}")
    except WeightsError as error:
        raise WeightsError(
            f"{file} does not hold the weights of {arch}: delete it ({error})"
        ) from error


def published_as(arch: str, sha256: str) -> WeightsEnum | None:
    """torchvision's entry for the weights of `arch` in the file with this SHA-256, if any."""
    for weights in get_model_weights(arch):
        if sha256.startswith(_stated_hash(weights.url)):
            return weights
    return None


def fetch(url: str) -> Path:
    """The file of published weights in torch's cache, downloaded if missing.

    Raises:
        WeightsError: no network, or a file that does not match the SHA-256 in its name.
    """
    name = Path(urlparse(url).path).name
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    stated = _stated_hash(url)
    if not file.exists():
        _log.info("downloading %s", url)
        _download(url, file, stated)
    if not file_sha256(file).startswith(stated):
        raise WeightsError(f"{file} is damaged (its SHA-256 is not {stated}...): delete it")
    return file


def _stated_hash(url: str) -> str:
    """Start of the SHA-256 in the name of a published file."""
    stated = re.search(r"-([0-9a-f]{8,})\.", Path(urlparse(url).path).name)
    assert stated is not None, f"torchvision names no hash in {url}"
    return stated[1]


def _download(url: str, file: Path, hash_prefix: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix, progress=False)
    except (OSError, HTTPException, RuntimeError) as error:
        raise WeightsError(
            f"cannot download {file.name} ({error}): fetch {url} by hand and put it at {file}, "
            "or give its path as the weights"
        ) from error
