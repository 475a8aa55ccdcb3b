"""Distillation losses: pure functions of tensors, student first, computed in at least float32.

Each is differentiable in its student argument, passes no gradient to the teacher, raises ValueError
for invalid arguments, and never synchronises with the device.
"""

from kdrun.losses.alignment import layer_map, match_spatial
from kdrun.losses.attention import activation_attention_loss, attention_map, attention_map_loss
from kdrun.losses.dist import dist_loss
from kdrun.losses.dkd import dkd_loss
from kdrun.losses.hint import hint_loss
from kdrun.losses.label import cross_entropy_loss
from kdrun.losses.learned_temperature import learned_temperature_loss
from kdrun.losses.least_squares import Projection, ProjectionFit, fit_projection
from kdrun.losses.nkd import nkd_loss
from kdrun.losses.rkd import rkd_angle_loss, rkd_distance_loss
from kdrun.losses.soft_target import (
    distillation_loss,
    hard_target_loss,
    logit_mse_loss,
    soft_probability_loss,
    soft_target_loss,
)
from kdrun.losses.teacher_logits import ensemble_probabilities, standardize_logits
from kdrun.losses.wsl import wsl_loss

__all__ = [
    "Projection",
    "ProjectionFit",
    "activation_attention_loss",
    "attention_map",
    "attention_map_loss",
    "cross_entropy_loss",
    "dist_loss",
    "distillation_loss",
    "dkd_loss",
    "ensemble_probabilities",
    "fit_projection",
    "hard_target_loss",
    "hint_loss",
    "layer_map",
    "learned_temperature_loss",
    "logit_mse_loss",
    "match_spatial",
    "nkd_loss",
    "rkd_angle_loss",
    "rkd_distance_loss",
    "soft_probability_loss",
    "soft_target_loss",
    "standardize_logits",
    "wsl_loss",
]
