"""Export of a run's student: checked files in each format, and a model card."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdrun.errors import DamagedError, WeightsError
from kdrun.evaluation.latency import latency
from kdrun.export.deployed import Deployed
from kdrun.export.formats import FORMATS, Call, Format, chosen_formats
from kdrun.export.model_card import model_card
from kdrun.report.checked_figures import check_figures
from kdrun.runs.finished_run import check_finished, finished_jobs
from kdrun.store.files import (
    cannot_write,
    file_entry,
    read_json,
    temporary_path,
    write_atomic,
    write_json,
)
from kdrun.store.finished_runs import read_summary
from kdrun.store.folders import make_folder, remove_file, remove_leftovers
from kdrun.store.run_folder import EXPORT, STUDENT_CARD
from kdrun.store.summary import student_place
from kdrun.training.context import RunContext, StageRun
from kdrun.training.initial_weights import stage_weights
from kdrun.training.stage_model import build, load_finished, normalization, without_weights

CHECK_BATCH = 256


def export_student(
    folder: Path, names: list[str], changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write the student in each format to `folder/export`, and return the card's content.

    Args:
        folder: the run's.
        names: of the formats.
        changes: as of `finished_jobs`.

    Raises:
        ConfigError: the folder holds no finished run, or a package is missing.
        DamagedError: a file of the run is damaged, or its figures contradict each other.
        WeightsError: a file has a different accuracy than the network.
        OutputError: a file cannot be written.
    """
    formats = chosen_formats(names)
    with finished_jobs(folder, changes) as (stage_runs, contexts):
        summary = read_summary(folder)
        check_figures(folder, summary)
        stage_run = stage_runs[student_place(summary)]
        check_finished([stage_run])
        context = contexts[stage_run.stage.seed]
        target = export_folder(folder)
        model = deployed(stage_run, context)
        images = [(batch.images.cpu(), batch.labels.cpu()) for batch in all_test_batches(context)]
        eager = answers(model, images)
        files = kept(target, stage_run.digest)
        for name, one in formats.items():
            files[name] = exported(one, stage_run, context, model, images, eager, target)
        card = card_of(stage_run, context, images, eager) | {"files": files}
        card |= {"seed": stage_run.stage.seed, "seeds": list(summary.get("seeds", []))}
        card["latency_eager"] = timed(model, images[0][0][:1])
        write_json(target / STUDENT_CARD, card)
        write_atomic(target / "README.md", model_card(card, summary).encode())
    return card


def export_folder(folder: Path) -> Path:
    """Return the folder for the files, creating it if missing."""
    target = make_folder(folder / EXPORT, folder)
    remove_leftovers(target)
    return target


def kept(target: Path, digest: str) -> dict[str, Any]:
    """Return the entries of intact files of an earlier export of this student; remove others."""
    try:
        card = read_json(target / STUDENT_CARD)
        listed = card["files"] if card["stage"] == digest else {}
        return {
            name: listed[name]
            for name, one in FORMATS.items()
            if keep_if_intact(target / one.file, listed.get(name))
        }
    except (DamagedError, KeyError, TypeError, AttributeError):
        return {}


def keep_if_intact(path: Path, entry: Any) -> bool:
    """Return whether a file matches its entry, removing it otherwise."""
    if path.is_file() and entry and file_entry(path).items() <= entry.items():
        return True
    remove_file(path)
    return False


def deployed(stage_run: StageRun, context: RunContext) -> Deployed:
    """Load the finished student on the CPU in float32."""
    network, _ = load_finished(stage_run, context)
    return Deployed(network.cpu().float(), **own_normalization(stage_run, context)).eval()


def own_normalization(stage_run: StageRun, context: RunContext) -> dict[str, list[float]]:
    """Normalisation that the student's weights expect."""
    return normalization(
        context.data, stage_weights(stage_run.folder, stage_run.title, stage_run.digest)
    )


def all_test_batches(context: RunContext) -> Any:
    """Batches of the whole test set."""
    return context.data.test.batches(CHECK_BATCH)


@torch.inference_mode()
def answers(call: Call, images: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Compute the (N, K) logits of all images."""
    return torch.cat([call(batch) for batch, _ in images])


def exported(
    one: Format,
    stage_run: StageRun,
    context: RunContext,
    model: Deployed,
    images: Sequence[tuple[Tensor, Tensor]],
    eager: Tensor,
    target: Path,
) -> dict[str, Any]:
    """Write one file and compare it with the eager network on the test set.

    Raises:
        WeightsError: its accuracy differs.
    """
    path, temporary = target / one.file, temporary_path(target / one.file)
    try:
        # Two images, because torch.export would specialise on a batch size of 1.
        fresh = build(without_weights(stage_run.stage), context.data.shape, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside torch
            one.write(model, images[0][0][:2].contiguous(), temporary)
            call = one.read(
                temporary, Deployed(fresh, **own_normalization(stage_run, context)).eval()
            )
        found = answers(call, images)
        labels = torch.cat([batch for _, batch in images])
        accuracies = [(logits.argmax(1) == labels).sum().item() for logits in (found, eager)]
        if accuracies[0] != accuracies[1]:
            raise WeightsError(
                f"{path.name}: classifies {accuracies[0]} test images correctly, the network "
                f"{accuracies[1]}; the file is not kept"
            )
        speed = timed(call, images[0][0][:1])
        temporary.chmod(target.stat().st_mode & 0o666)  # safetensors writes with mode 0600
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        remove_file(temporary)
    difference = (found - eager).abs().max().item()
    return {
        "file": path.name,
        **file_entry(path),
        "max_logit_difference": difference,
        "accuracy": accuracies[0] / len(labels),
        "latency": speed,
    }


@torch.inference_mode()
def timed(call: Call, image: Tensor) -> dict[str, Any]:
    """Measure the CPU latency of one image."""
    example = image.contiguous()
    return latency(lambda: call(example))


def card_of(
    stage_run: StageRun, context: RunContext, images: Sequence[tuple[Tensor, Tensor]], eager: Tensor
) -> dict[str, Any]:
    """Content of the student's card: architecture, input, accuracy and recipe."""
    labels, data, model = (
        torch.cat([batch for _, batch in images]),
        context.data,
        stage_run.stage.model,
    )
    return {
        "format": 1,
        "arch": model.arch,
        "library": model.library,
        "stem": model.stem,
        "width": model.width,
        "depth": model.depth,
        "parameters": stage_run.parameters,
        "macs": stage_run.macs,
        "dataset": data.name,
        "training_images": len(data.train),
        "class_names": list(data.class_names),
        "input": {
            "shape": ["N", data.channels, data.image_size, data.image_size],
            "type": "uint8",
            "order": "NCHW",
            "preparation": data.preparation,
        },
        "output": "logits",
        "normalization": own_normalization(stage_run, context),
        "test_images": len(labels),
        "test_accuracy": (eager.argmax(1) == labels).double().mean().item(),
        "stage": stage_run.digest,
        "recipe": stage_run.identity,
    }
