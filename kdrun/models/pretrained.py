"""torchvision's pretrained weights: lookup by name, download, loading."""

import logging
import re
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum, get_model_weights
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from kdrun.errors import WeightsError, near_miss
from kdrun.models.safe_load import file_sha256, read_weights_file
from kdrun.models.state_dict import check_finite

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
    state = read_weights_file(file)
    _drop_auxiliary_heads(state)
    _rename_dense_layers(state)
    check_finite(state, source=f"the weights {weights.name} of {arch}")
    if isinstance(model, VisionTransformer):
        state = interpolate_embeddings(model.image_size, model.patch_size, state)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{file} does not hold the weights of {arch}: delete it") from error


def fetch(url: str) -> Path:
    """The file of published weights in torch's cache, downloaded if missing.

    Raises:
        WeightsError: no network, or a file that does not match the SHA-256 in its name.
    """
    name = Path(urlparse(url).path).name
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    stated = re.search(r"-([0-9a-f]{8,})\.", name)
    assert stated is not None, f"torchvision names no hash in {name}"
    if not file.exists():
        _log.info("downloading %s", url)
        _download(url, file, stated[1])
    if not file_sha256(file).startswith(stated[1]):
        raise WeightsError(f"{file} is damaged (its SHA-256 is not {stated[1]}...): delete it")
    return file


def _download(url: str, file: Path, hash_prefix: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix, progress=False)
    except (OSError, HTTPException, RuntimeError) as error:
        raise WeightsError(
            f"cannot download {file.name} ({error}): fetch {url} by hand and put it at {file}, "
            "or give its path as the weights"
        ) from error


def _drop_auxiliary_heads(state: dict[str, Tensor]) -> None:
    for key in [key for key in state if key.startswith(("aux1.", "aux2.", "AuxLogits."))]:
        del state[key]


def _rename_dense_layers(state: dict[str, Tensor]) -> None:
    # The published DenseNets still spell norm1 as norm.1.
    for key in [key for key in state if re.search(r"\.(norm|conv)\.[12]\.", key)]:
        state[re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key)] = state.pop(key)
