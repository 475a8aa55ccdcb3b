"""Weights files as the field writes them: reading without execution, choice of tensors, fit."""
