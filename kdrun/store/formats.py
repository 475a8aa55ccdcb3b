"""Formats of the JSON files of runs and stages, as shapes."""

from kdrun.store.analysis_format import ANALYSIS_FILE
from kdrun.store.shapes import (
    AMOUNT,
    ANYTHING,
    COUNT,
    FLAG,
    FRACTION,
    HASH,
    INTEGER,
    LABEL,
    MEASURE,
    NUMBER,
    POSITIVE,
    SEVERAL,
    SHA256,
    TEMPERATURE,
    TEXT,
    Each,
    Maybe,
    Shape,
    Some,
    one_of,
)

FILES: Shape = Each({"bytes": COUNT, "sha256": SHA256})
"""Entries of `file_entry` by name."""
ACCURACY: Shape = {
    "train": Maybe(FRACTION),
    "last": Maybe(FRACTION),
    "best_validation": Maybe(FRACTION),
    "best_validation_loss?": Maybe(AMOUNT),
    "test_at_best_validation": FRACTION,
}
CERTAINTY: Shape = {
    "images": SEVERAL,
    "entropy": Each(FRACTION, 1),
    "calibration_T": Maybe(AMOUNT),
    "nll": AMOUNT,
    "calibrated_nll": AMOUNT,
}
CLASS_ORDER: Shape = {
    "outputs": Some(Some(COUNT, 2)),
    "moved": SEVERAL,
    "accuracy": FRACTION,
    "relabelled": FRACTION,
}
STAGE_SUMMARY: Shape = {
    "hash?": HASH,
    "arch": TEXT,
    "dataset?": TEXT,
    "class_names?": Some(TEXT),
    "image_shape?": Some(SEVERAL),
    "normalization?": {"mean": Some(NUMBER), "std": Some(POSITIVE)},
    "parameters": SEVERAL,
    "macs": COUNT,
    "epochs": COUNT,
    "best_epoch?": COUNT,
    "skipped?": COUNT,
    "seconds": AMOUNT,
    "images_per_second?": Maybe(AMOUNT),
    "layers?": Each(Some(TEXT)),
    "accuracy": ACCURACY,
    "certainty?": CERTAINTY,
    "class_order?": CLASS_ORDER,
    "files": FILES,
}
BORN_AGAIN: Shape = {
    "generations": SEVERAL,
    "planned?": SEVERAL,
    "test": Some(Some(FRACTION)),
    "monotone?": [FLAG],
}
GAIN: Shape = {
    "model": TEXT,
    "over": TEXT,
    "split": TEXT,
    "points": NUMBER,
    "seeds": SEVERAL,
    "low": Maybe(NUMBER),
    "high": Maybe(NUMBER),
    "p": Maybe(FRACTION),
    "test": Maybe(one_of("paired_t", "mcnemar")),
    "only_ours": Maybe(COUNT),
    "only_theirs": Maybe(COUNT),
}
RUN_SUMMARY: Shape = {
    "status": one_of("done"),
    "dataset": TEXT,
    "test_images": SEVERAL,
    "pool?": Maybe(TEXT),
    "seed": COUNT,
    "seeds?": [COUNT],
    "stages": Some({**STAGE_SUMMARY, **LABEL, "reused": FLAG}),
    "files": FILES,
    "chain?": [{"steps": [Each(ANYTHING)]}],
    "born_again?": BORN_AGAIN,
    "gains?": [GAIN],
}
STAGE: Shape = {
    "format": SEVERAL,
    "model": {"arch": TEXT},
    "data": TEXT,
    "teachers?": [HASH],
    "train?": Each(ANYTHING),
    "loss?": {
        "terms?": Each(Each(ANYTHING)),
        "label_smoothing?": FRACTION,
        "weights?": Each(NUMBER),
    },
}
PLAN: Shape = {
    "stages": Some(
        {
            **LABEL,
            "hash": HASH,
            "teachers": [COUNT],
            "parameters?": COUNT,
            "macs?": COUNT,
            "epochs": COUNT,
            "T": Maybe(ANYTHING),
            "identity": {"origin?": Some(ANYTHING, 2), "data?": TEXT},
        }
    )
}
ENVIRONMENT: Shape = {
    "precision": one_of("fp32", "tf32", "bf16", "fp16"),
    "threads": SEVERAL,
    "packages?": Each(TEXT),
    "command?": [TEXT],
}
CHOICE: Shape = {
    "stage": COUNT,
    "method": TEXT,
    "teacher": HASH,
    "T": POSITIVE,
    "for?": HASH,
    "pilots?": Some({"T": POSITIVE, "validation": Maybe(FRACTION)}),
}
TEMPERATURES: Shape = {"choices": [CHOICE]}
MANIFEST: Shape = {
    "format": SEVERAL,
    "stage": TEXT,
    "update": COUNT,
    "files": FILES,
    "best?": FILES,
}
STATUS: Shape = {
    "status": one_of("running", "done", "stopped", "failed"),
    "pid?": COUNT,
    "host?": TEXT,
    "trained?": [COUNT],
    "error?": {"code": COUNT, "message": TEXT},
}
EPOCH: Shape = {
    "epoch": SEVERAL,
    "T": Maybe(TEMPERATURE),
    "lr?": AMOUNT,
    "loss": NUMBER,
    "terms": Each(
        {
            "raw?": MEASURE,
            "weighted": MEASURE,
            "weight?": NUMBER,
            "gradient_share": Maybe(FRACTION),
        }
    ),
    "train_accuracy": FRACTION,
    "validation_accuracy": Maybe(FRACTION),
    "seconds": AMOUNT,
    "images_per_second": AMOUNT,
}
METRIC: Shape = {**EPOCH, **LABEL, "stage": COUNT}
PAGE: Shape = {
    "format": SEVERAL,
    "key": HASH,
    "view": COUNT,
    "record": Some(ANYTHING),
    "rows": SEVERAL,
    "checksum": SHA256,
    "distortion": {"deviation": AMOUNT, "max_tv": AMOUNT, "mean_tv": AMOUNT},
}
JOB: Shape = {
    "job": TEXT,
    "number?": COUNT,
    "settings": Each(TEXT),
    "status": TEXT,
    "error": TEXT,
    "code": INTEGER,
    **{name: Maybe(FRACTION) for name in ("train", "validation", "test", "control_test")},
}
SWEEP_TABLE: Shape = {"jobs": [JOB], "over_seeds?": [Each(ANYTHING)]}


def format_of(name: str, of_stage: bool) -> Shape:
    """The shape of a file by its name; `ANYTHING` if there is none.

    Args:
        name: of the file.
        of_stage: whether its folder belongs to a stage, else to a run.
    """
    if name == "summary.json":
        return STAGE_SUMMARY if of_stage else RUN_SUMMARY
    if name == "metrics.jsonl":
        return EPOCH if of_stage else METRIC
    return BY_NAME.get(name, ANYTHING)


BY_NAME: dict[str, Shape] = {
    "stage.json": STAGE,
    "plan.json": PLAN,
    "environment.json": ENVIRONMENT,
    "temperature.json": TEMPERATURES,
    "analysis.json": ANALYSIS_FILE,
    "manifest.json": MANIFEST,
    "status.json": STATUS,
    "sweep.json": SWEEP_TABLE,
}
