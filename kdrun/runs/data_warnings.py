"""Warnings about a run's images: shared by parts, or known to older versions by path and size."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kdrun.errors import DamagedError, DataError, some_of
from kdrun.store.files import read_json
from kdrun.store.stages import IDENTITY, STORE, SUMMARY
from kdrun.training.context import ContextBySeed, StageRun

OLDER = "an older version, which identified image files by path and size"


def data_notes(contexts: ContextBySeed) -> list[str]:
    """The notes about the data of every seed, each once."""
    return list(dict.fromkeys(note for one in contexts.values() for note in one.data.notes))


def teacher_split_lines(stage_runs: Sequence[StageRun], contexts: ContextBySeed) -> list[str]:
    """A line for each given teacher that may know the validation images."""
    lines = []
    for stage_run in stage_runs:
        data, source = contexts[stage_run.stage.seed].data, stage_run.source
        if (
            not stage_run.stage.pretrained
            or source is None
            or source.data in (None, data.fingerprint)
        ):
            continue
        other = "on other images or another split (seed, dataset.val_fraction) than this run"
        if source.data == data.older_fingerprint:
            other = f"by {OLDER}, perhaps on other images than this run"
        lines.append(
            f"{stage_run.title}: {source.name} was trained {other}, so that its validation "
            "accuracy may be too high"
        )
    return lines


def older_stage_lines(stage_runs: Sequence[StageRun], contexts: ContextBySeed) -> list[str]:
    """A line where the store holds stages of such files by path and size, which are not reused."""
    older = {one.data.older_fingerprint for one in contexts.values()} - {None}
    if not older or all((stage_run.folder / SUMMARY).exists() for stage_run in stage_runs):
        return []
    root = next(iter(contexts.values())).output_root
    found = [folder.name for folder in stages_on(root, older)]
    if not found:
        return []
    are = "stages are" if len(found) > 1 else "stage is"
    return [
        f"{len(found)} {are} of {OLDER} ({some_of(found, 3)} in {root / STORE}): not reused, as "
        "they may be of other images"
    ]


def stages_on(root: Path, fingerprints: set[Any]) -> Iterator[Path]:
    """The finished stages of the store whose data had one of the fingerprints."""
    for summary in sorted((root / STORE).glob(f"*/{SUMMARY}")):
        try:
            identity = read_json(summary.parent / IDENTITY)
        except DamagedError:
            continue  # told by the run that comes to need it
        if isinstance(identity, dict) and identity.get("data") in fingerprints:
            yield summary.parent


def refuse_older(
    stage_runs: Sequence[StageRun], recorded: Sequence[dict[str, Any]], contexts: ContextBySeed
) -> None:
    """Refuse to go on with a run whose images an older version knew by path and size.

    Raises:
        DataError: its images cannot be compared with these.
    """
    for stage_run, stage in zip(stage_runs, recorded, strict=False):
        older = contexts[stage_run.stage.seed].data.older_fingerprint
        if older is not None and stage["identity"].get("data") == older:
            raise DataError(
                f"dataset: the run was begun by {OLDER}, so that its images may have been others; "
                "start a new run, or go on with that version"
            )
