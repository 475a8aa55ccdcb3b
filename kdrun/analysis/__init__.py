"""Measurements of finished models: pure functions of tensors, student first, float64 inside.

They return Python floats or frozen dataclasses, record no gradient, compute on the CPU for inputs
on any device, and raise ValueError for invalid arguments.
"""

from kdrun.analysis.attention import AttentionComparison, attention_information, compare_attention
from kdrun.analysis.bounds import (
    GeneralizationBound,
    TrainTestGap,
    generalization_bound,
    train_test_gap,
)
from kdrun.analysis.calibration import (
    ReliabilityBin,
    calibration_temperature,
    expected_calibration_error,
    reliability_diagram,
)
from kdrun.analysis.chain import ChainDifferences, ChainStep, chain_differences
from kdrun.analysis.class_similarity import (
    Confusion,
    SimilarityRows,
    class_similarity,
    class_similarity_information,
    similarity_rows,
    top_confusions,
)
from kdrun.analysis.dark_knowledge import (
    DarkKnowledge,
    DarkKnowledgeCurve,
    dark_knowledge,
    dark_knowledge_curve,
)
from kdrun.analysis.entropy import entropy
from kdrun.analysis.fidelity import agreement, mean_kl
from kdrun.analysis.gradient_probe import GradientProbe, ensemble_gradient_probe, gradient_probe
from kdrun.analysis.intervals import Interval, hoeffding_half_width, wilson_interval
from kdrun.analysis.representation import linear_cka, relation_similarity, unexplained_share
from kdrun.analysis.scores import brier_score, negative_log_likelihood
from kdrun.analysis.temperature_curves import TemperatureCurve, temperature_curve

__all__ = [
    "AttentionComparison",
    "ChainDifferences",
    "ChainStep",
    "Confusion",
    "DarkKnowledge",
    "DarkKnowledgeCurve",
    "GeneralizationBound",
    "GradientProbe",
    "Interval",
    "ReliabilityBin",
    "SimilarityRows",
    "TemperatureCurve",
    "TrainTestGap",
    "agreement",
    "attention_information",
    "brier_score",
    "calibration_temperature",
    "chain_differences",
    "class_similarity",
    "class_similarity_information",
    "compare_attention",
    "dark_knowledge",
    "dark_knowledge_curve",
    "ensemble_gradient_probe",
    "entropy",
    "expected_calibration_error",
    "generalization_bound",
    "gradient_probe",
    "hoeffding_half_width",
    "linear_cka",
    "mean_kl",
    "negative_log_likelihood",
    "relation_similarity",
    "reliability_diagram",
    "similarity_rows",
    "temperature_curve",
    "top_confusions",
    "train_test_gap",
    "unexplained_share",
    "wilson_interval",
]
