"""Weights files in stages, checkpoints and exports of kdrun, with the facts recorded of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.errors import DamagedError
from kdrun.store.files import check_files, read_json
from kdrun.store.formats import STAGE
from kdrun.store.run_folder import STUDENT_CARD
from kdrun.store.shapes import COUNT, NUMBER, POSITIVE, SHA256, TEXT, Each, Shape, Some, check_shape
from kdrun.store.stages import CHECKPOINTS, IDENTITY, SUMMARY, WEIGHTS, finished, own_digest
from kdrun.store.stages import read_identity as read_stage_identity
from kdrun.training.checkpoint import MANIFEST, MODEL, check_checkpoint

CARD_SHAPE: Shape = {
    "files": Each({"file": TEXT, "bytes": COUNT, "sha256": SHA256}),
    "recipe": STAGE,
    "arch": TEXT,
    "class_names": Some(TEXT),
    "normalization": {"mean": Some(NUMBER), "std": Some(POSITIVE)},
}

UNRECORDED = (
    "the normalisation of its training is recorded when its stage is finished; until then that of "
    "this run's data is used (else set teacher.normalization)"
)


@dataclass(frozen=True)
class RunFile:
    """A weights file of kdrun.

    Attributes:
        identity: of its stage.
        card: known facts: architecture, classes, normalisation.
        stage: folder of the stage, if the file holds the finished weights.
        note: a line on what is not known.
    """

    identity: dict[str, Any]
    card: dict[str, Any]
    stage: Path | None = None
    note: str | None = None


def file_of_run(path: Path) -> RunFile | None:
    """Return what is recorded of a file in a run or store; None for other files.

    Raises:
        DamagedError: the file fails its checksum, or the records are damaged.
    """
    path = path.resolve()
    if (path.parent / STUDENT_CARD).is_file():
        return _exported(path)
    if path.name == WEIGHTS:
        return _of_stage(path.parent, finished_weights=True)
    if path.parent.name == CHECKPOINTS:
        return _of_stage(path.parent.parent)
    if path.name == MODEL and path.parent.parent.name == CHECKPOINTS:
        if (path.parent / MANIFEST).is_file():
            check_checkpoint(path.parent)
        return _of_stage(path.parent.parent.parent)
    return None


def _of_stage(folder: Path, *, finished_weights: bool = False) -> RunFile | None:
    if not (folder / IDENTITY).is_file():
        return None
    identity = read_stage_identity(folder)
    card = finished(folder, own_digest(folder)) if (folder / SUMMARY).is_file() else None
    if card is not None:
        return RunFile(identity, card, folder if finished_weights else None)
    known = _given_normalization(identity["model"])
    return RunFile(
        identity,
        {"arch": identity["model"]["arch"]} | ({"normalization": known} if known else {}),
        note=None if known else UNRECORDED,
    )


def _given_normalization(model: dict[str, Any]) -> dict[str, Any] | None:
    """The normalisation in a stage's identity: as set, or of given weights."""
    weights = model.get("weights")
    found = model.get("normalization") or (weights or {}).get("normalization")
    return found if isinstance(found, dict) else None


def _exported(path: Path) -> RunFile | None:
    """The export's card, if it lists the file."""
    card = read_json(path.parent / STUDENT_CARD)
    try:
        check_shape(path.parent / STUDENT_CARD, card, CARD_SHAPE)
    except DamagedError as error:
        raise DamagedError(
            f"{error}: export the run again, or move {path.name} elsewhere to use it without its "
            "card"
        ) from error
    listed = {entry["file"]: entry for entry in card["files"].values()}
    entry = listed.get(path.name)
    if entry is None:
        return None
    facts = {name: card[name] for name in ("arch", "class_names", "normalization")}
    check_files(path.parent, {path.name: {name: entry[name] for name in ("bytes", "sha256")}})
    return RunFile(card["recipe"], facts)
