"""Warnings about a run's images: leaked validation images, stages of older versions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kdrun.errors import DamagedError, DataError, some_of
from kdrun.store.files import read_json
from kdrun.store.stages import IDENTITY, STORE, SUMMARY
from kdrun.training.context import ContextBySeed, StageRun

OLDER = "an older version, which identified image files by path and size"


def data_notes(contexts: ContextBySeed) -> list[str]:
    """Return the notes on the data of all seeds, each once."""
    return list(dict.fromkeys(note for one in contexts.values() for note in one.data.notes))


def weights_lines(stage_runs: Sequence[StageRun]) -> list[str]:
    """Return the lines on what is used of weights files, each once."""
    sources = [stage_run.source for stage_run in stage_runs if stage_run.source is not None]
    return list(dict.fromkeys(note for source in sources for note in source.notes))


def teacher_split_lines(stage_runs: Sequence[StageRun], contexts: ContextBySeed) -> list[str]:
    """Return a warning per given teacher that may have been trained on the validation images."""
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
            f"{stage_run.title}: {source.name} was trained {other}, so its validation "
            "accuracy may be too high"
        )
    return lines


def older_stage_lines(stage_runs: Sequence[StageRun], contexts: ContextBySeed) -> list[str]:
    """Return a warning if the store has stages whose images are known by path and size only."""
    older = {one.data.older_fingerprint for one in contexts.values()} - {None}
    if not older or all((stage_run.folder / SUMMARY).exists() for stage_run in stage_runs):
        return []
    root = next(iter(contexts.values())).output_root
    found = [folder.name for folder in stages_on(root, older)]
    if not found:
        return []
    are = "stages are" if len(found) > 1 else "stage is"
    return [
        f"{len(found)} {are} from {OLDER} ({some_of(found, 3)} in {root / STORE}): not reused, "
        "because the images may differ"
    ]


def stages_on(root: Path, fingerprints: set[Any]) -> Iterator[Path]:
    """Yield the finished stages of the store whose data has one of the fingerprints."""
    for summary in sorted((root / STORE).glob(f"*/{SUMMARY}")):
        try:
            identity = read_json(summary.parent / IDENTITY)
        except DamagedError:
            continue  # reported by a run that needs the stage
        if isinstance(identity, dict) and identity.get("data") in fingerprints:
            yield summary.parent


def refuse_older(
    stage_runs: Sequence[StageRun], recorded: Sequence[dict[str, Any]], contexts: ContextBySeed
) -> None:
    """Refuse to resume a run whose images an older version identified by path and size.

    Raises:
        DataError: the images cannot be compared with the current ones.
    """
    for stage_run, stage in zip(stage_runs, recorded, strict=False):
        older = contexts[stage_run.stage.seed].data.older_fingerprint
        if older is not None and stage["identity"].get("data") == older:
            raise DataError(
                f"dataset: the run was started by {OLDER}, so its images may have been different; "
                "start a new run, or resume with that version"
            )
