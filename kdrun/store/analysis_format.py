"""Format of `analysis.json`, as a shape: the fields read by reports."""

from kdrun.store.shapes import (
    AMOUNT,
    ANYTHING,
    COUNT,
    FLAG,
    FRACTION,
    HASH,
    LABEL,
    MEASURE,
    NUMBER,
    POSITIVE,
    SEVERAL,
    TEMPERATURE,
    TEXT,
    Each,
    Maybe,
    Shape,
    Some,
)

_BIN: Shape = {"count": COUNT, "confidence": FRACTION, "accuracy": FRACTION}
_SPLIT: Shape = {
    "images": COUNT,
    "accuracy": FRACTION,
    "chose_epoch?": FLAG,
    "nll": MEASURE,
    "calibration_error": FRACTION,
    "calibrated_error": Maybe(FRACTION),
    "calibration_T": Maybe(MEASURE),
    "reliability": [_BIN],
    "calibrated_reliability": [_BIN],
}
_MODEL: Shape = {
    **LABEL,
    "stage": COUNT,
    "parameters": COUNT,
    "macs": COUNT,
    "latency": {"median_ms": AMOUNT, "threads": SEVERAL},
    "splits": Each(_SPLIT, 1),
    "gap": {"gap": NUMBER},
    "temperature_curve": {
        "temperatures": Some(POSITIVE),
        "entropy": Some(AMOUNT),
        "max_probability": Some(FRACTION),
    },
}
_PLACED: Shape = {"role?": TEXT, "arch": TEXT, "stage?": COUNT, "stages?": Some(COUNT)}
_KNOWN: Shape = {"lower": MEASURE, "upper": MEASURE, "max": MEASURE}
_TEACHER: Shape = {
    **_PLACED,
    "knowledge": {
        "T": TEMPERATURE,
        "T_range": Maybe(Some(TEMPERATURE, 2)),
        "splits": Each({"at_1": _KNOWN, "at_T": _KNOWN, "curve": Maybe(Each(Some(MEASURE)))}, 1),
    },
    "similarity": {
        "T": TEMPERATURE,
        "classes": Some(TEXT),
        "of": SEVERAL,
        "probability": Some(Some(FRACTION)),
    },
}
_CONFUSION: Shape = {"label": COUNT, "decision": COUNT, "student": COUNT, "other": COUNT}
_PROBE: Shape = {
    "temperatures": Some(TEMPERATURE),
    "soft_norm": Some(AMOUNT),
    "hard_norm": AMOUNT,
    "cosine": Some(NUMBER),
    "negative_share": Some(FRACTION),
}
_PAIR: Shape = {
    "kind": TEXT,
    "T_range": Maybe(Some(TEMPERATURE, 2)),
    "student": _PLACED,
    "other": _PLACED,
    "splits": Each(
        {
            "agreement": FRACTION,
            "mean_kl": MEASURE,
            "bound": {"tv": FRACTION, "holds": Each(FLAG)},
            "confusions": [_CONFUSION],
            "gradient_probe": _PROBE,
        },
        1,
    ),
    "inside": Maybe(Each(ANYTHING)),
}
_STEP: Shape = {"error_difference": NUMBER, "pinsker": MEASURE}
_CHAIN: Shape = {"stages": Some({"parameters": COUNT, "accuracy": FRACTION}), "steps": [_STEP]}
ANALYSIS_FILE: Shape = {
    "class_names": Some(TEXT),
    "models": Some(_MODEL),
    "teachers": [_TEACHER],
    "pairs": [_PAIR],
    "chains": [_CHAIN],
    "examples": [{"student": _PLACED, "teacher": _PLACED, "images": [{"png": TEXT}]}],
    "warnings": [TEXT],
    "hashes?": Some(HASH),
}
