"""Evaluation of finished models: their predictions, and the measures in `analysis.json`."""
