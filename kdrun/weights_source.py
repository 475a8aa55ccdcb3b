"""What `teacher.weights` and `student.weights` name: torchvision's, a file, or a finished run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.errors import WeightsError
from kdrun.files import read_json
from kdrun.models.weights import file_sha256


@dataclass(frozen=True)
class WeightsSource:
    """Where weights come from.

    Attributes:
        name: as the user gave it.
        path: the file, or None for torchvision's own.
        identity: the file's SHA-256, or the torchvision name.
        card: what kdrun wrote beside them (architecture, classes, normalisation), if it made them.
    """

    name: str
    path: Path | None
    identity: str
    card: dict[str, Any]


def resolve_weights(weights: str) -> WeightsSource:
    """Find the weights.

    Raises:
        WeightsError: there is no such file or the folder holds no finished model.
    """
    path = Path(weights).expanduser()
    if path.is_dir():
        stage = _stage_folder(path)
        file = stage / "best.safetensors"
        return WeightsSource(weights, file, file_sha256(file), read_json(stage / "summary.json"))
    if path.is_file():
        return WeightsSource(weights, path, file_sha256(path), {})
    if weights.replace("_", "").isalnum() and weights.isupper():
        return WeightsSource(weights, None, f"torchvision:{weights}", {})
    raise WeightsError(f"{path.absolute()}: no such weights file or run folder")


def _stage_folder(folder: Path) -> Path:
    """The folder itself if it is a finished stage, else the student's stage of a run."""
    candidates = [folder, *sorted(folder.glob("stages/*-student-*"), reverse=True)]
    for candidate in candidates:
        if all((candidate / name).is_file() for name in ("best.safetensors", "summary.json")):
            return candidate
    raise WeightsError(f"{folder.absolute()}: holds no finished stage or run (no best.safetensors)")


def check_card(source: WeightsSource, *, arch: str, class_names: tuple[str, ...]) -> None:
    """Refuse weights that kdrun made for another architecture or other classes.

    Raises:
        WeightsError: they differ.
    """
    made_for = source.card.get("arch", arch)
    if made_for != arch:
        raise WeightsError(
            f"{source.name} holds a {made_for}, not a {arch}; name that model instead"
        )
    classes = tuple(source.card.get("class_names", class_names))
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
