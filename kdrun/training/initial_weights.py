"""Initial weights: published ones by name, a file, or a finished run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdrun.catalog.architectures import of_torchvision
from kdrun.catalog.terms import LABELS
from kdrun.data.dataset import IMAGENET_MEAN, IMAGENET_STD
from kdrun.errors import DamagedError, WeightsError
from kdrun.models.pretrained import find_weights, published_as
from kdrun.models.timm_models import timm_config, timm_normalization
from kdrun.models.weights.other_formats import describe_folder
from kdrun.models.weights.safe_load import file_sha256
from kdrun.store.finished_runs import linked_stage, planned_hashes, read_summary
from kdrun.store.home import expand_home
from kdrun.store.run_folder import PLAN
from kdrun.store.stage_figures import run_faults
from kdrun.store.stages import SUMMARY, WEIGHTS, finished, own_digest, read_identity
from kdrun.store.summary import student_place
from kdrun.training.files_of_runs import file_of_run

PUBLISHED_SMOOTHING = {"IMAGENET1K_V2": 0.1}
"""Label smoothing by name of torchvision's weights; version 2 used the recipe of 2021."""

MADE = ("student", "generation")
"""Roles of the final stages of a run."""


@dataclass(frozen=True)
class WeightsSource:
    """Source of given weights.

    Attributes:
        name: name given by the user.
        path: the file, or None for published weights.
        identity: the file's SHA-256, or the full name of the published weights.
        card: known facts (architecture, classes, normalisation); empty if none.
        classes: number of classes of published weights; None if known only after loading.
        label_smoothing: label smoothing in their training; None if unknown.
        data: fingerprint of their training images and splits; None if unknown.
        key: key of the tensors in the file, if given.
        notes: lines on what is used of the file, and what is not known.
    """

    name: str
    path: Path | None
    identity: str
    card: dict[str, Any]
    classes: int | None = None
    label_smoothing: float | None = None
    data: str | None = None
    key: str | None = None
    notes: tuple[str, ...] = ()


def resolve_weights(
    weights: str, *, arch: str, library: str, key: str | None = None
) -> WeightsSource:
    """Return the source of the weights.

    Args:
        weights: path of a file or folder, or a published name.
        arch: name of the architecture.
        library: library of the architecture.
        key: key of the tensors in a file; None: the only ones that fit.

    Raises:
        WeightsError: no such file or name, or the folder has no finished model.
    """
    path = expand_home(weights)
    if path.is_file():
        return replace(_file(path, weights, arch, library), key=key)
    if key is not None:
        raise WeightsError(f"weights_key={key} needs a weights file, which {weights} is not")
    if path.is_dir():
        stage = _stage_folder(path)
        return stage_weights(stage, weights, own_digest(stage))
    looks_like_file = path.suffix or "/" in weights
    if not looks_like_file:
        return _timm_weights(weights, arch) if library == "timm" else _published(weights, arch)
    raise WeightsError(f"{path.absolute()}: no such weights file or run folder")


def _file(path: Path, weights: str, arch: str, library: str) -> WeightsSource:
    """Return the source of a file: of a run, published by torchvision, or any other."""
    found = file_of_run(path)
    if found is not None and found.stage is not None:
        return stage_weights(found.stage, weights, own_digest(found.stage))
    identity = file_sha256(path)
    if found is not None:
        smoothing = _label_smoothing(found.identity.get("loss", {}))
        source = WeightsSource(weights, path, identity, found.card, label_smoothing=smoothing)
        notes = () if found.note is None else (f"{weights}: {found.note}",)
        return replace(source, data=found.identity["data"], notes=notes)
    if library == "timm":
        return WeightsSource(weights, path, identity, {"normalization": timm_normalization(arch)})
    published = published_as(arch, identity) if of_torchvision(arch) else None
    if published is None:
        return WeightsSource(weights, path, identity, {})
    return WeightsSource(
        weights,
        path,
        identity,
        _imagenet_card(),
        label_smoothing=PUBLISHED_SMOOTHING.get(published.name),
    )


def _imagenet_card() -> dict[str, Any]:
    mean, std = (list(values) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return {"normalization": {"mean": mean, "std": std}}


def stage_weights(stage: Path, name: str, digest: str) -> WeightsSource:
    """Return the weights of a finished stage.

    Args:
        stage: folder of the stage.
        name: name of the source in messages.
        digest: hash of the stage.

    Raises:
        DamagedError: the weights fail their checksum, or belong to another stage.
    """
    card = finished(stage, digest)
    if card is None:
        raise DamagedError(f"{stage} is damaged: it has no {SUMMARY}")
    identity = card["files"][WEIGHTS]["sha256"]
    made = read_identity(stage)
    smoothing = _label_smoothing(made.get("loss", {}))
    return WeightsSource(
        name, stage / WEIGHTS, identity, card, label_smoothing=smoothing, data=made["data"]
    )


def _label_smoothing(loss: dict[str, Any]) -> float:
    """Return the label smoothing in a stage's identity; 0 if no term reads labels."""
    if "terms" in loss:
        return float(loss["terms"].get(LABELS, {}).get("label_smoothing", 0.0))
    smoothed = "hard" in loss.get("weights", {})  # identity before format 4
    return float(loss.get("label_smoothing", 0.0)) if smoothed else 0.0


def _published(weights: str, arch: str) -> WeightsSource:
    if not of_torchvision(arch):
        raise WeightsError(
            f"{arch} has no published weights named '{weights}'; train it, or give a file"
        )
    found = find_weights(arch, weights)
    card = _imagenet_card()
    name = f"torchvision:{Path(found.url).name}"  # contains a hash; DEFAULT may change
    classes = len(found.meta["categories"])
    return WeightsSource(weights, None, name, card, classes, PUBLISHED_SMOOTHING.get(found.name))


def _timm_weights(weights: str, arch: str) -> WeightsSource:
    published = timm_config(arch, weights)
    card = {"normalization": {"mean": list(published["mean"]), "std": list(published["std"])}}
    name = f"timm:{published['architecture']}.{published['tag']}"
    return WeightsSource(weights, None, name, card, published["num_classes"])


def _stage_folder(folder: Path) -> Path:
    """Return the folder itself if it is a finished stage, else a run's final stage.

    Of several seeds the first counts, as in `kdrun export`; of an unfinished run the last stage.
    """
    for candidate in (folder.resolve(), *_made(folder)):
        if all((candidate / name).is_file() for name in (WEIGHTS, SUMMARY)):
            return candidate
    holds = describe_folder(folder)
    raise WeightsError(
        f"{folder.absolute()}: holds no finished stage or run (no best.safetensors)"
        f"{f', but {holds}' if holds else ''}"
    )


def _made(folder: Path) -> Iterator[Path]:
    """Yield the candidate stages of a run, best choice first."""
    if (folder / WEIGHTS).is_file() or not (folder / PLAN).is_file():
        return
    if (folder / SUMMARY).is_file():
        summary = read_summary(folder)
        # Accuracies are not used here, but the summary that selects the stage must be intact.
        if fault := next(run_faults(summary["stages"]), None):
            raise DamagedError(f"{folder / SUMMARY} is damaged: {fault}")
        place = student_place(summary)
        found = linked_stage(folder, place, summary["stages"][place].get("hash"))
        yield from [] if found is None else [found]
        return
    hashes = planned_hashes(folder)
    made = [path.name.partition("-")[0] for role in MADE for path in _links(folder, role)]
    for place in sorted((int(one) for one in made if one.isdecimal()), reverse=True):
        found = linked_stage(folder, place, hashes[place] if place < len(hashes) else None)
        yield from [] if found is None else [found]


def _links(folder: Path, role: str) -> Iterable[Path]:
    return folder.glob(f"stages/*-{role}-*")


def check_card(
    source: WeightsSource, *, arch: str, class_names: tuple[str, ...], new_head: bool = False
) -> None:
    """Check that weights made by kdrun fit the architecture and the classes.

    Args:
        source: the weights.
        arch: name of the model's architecture.
        class_names: of the data set.
        new_head: whether another number of classes gets a new head.

    Raises:
        WeightsError: the architecture or the classes differ.
    """
    made_for = source.card.get("arch", arch)
    if made_for != arch:
        raise WeightsError(
            f"{source.name} contains a {made_for}, not a {arch}; name that model instead"
        )
    classes = tuple(source.card.get("class_names", class_names))
    if len(classes) != len(class_names) and new_head:
        return
    if len(classes) != len(class_names):
        raise WeightsError(
            f"{source.name} was trained on {len(classes)} classes, the data set has "
            f"{len(class_names)}"
        )
    if classes != class_names:
        first = next(i for i, (a, b) in enumerate(zip(classes, class_names, strict=True)) if a != b)
        raise WeightsError(
            f"{source.name} was trained with class {first} = '{classes[first]}', the data set has "
            f"'{class_names[first]}' there: other classes or another order"
        )
