"""Evaluation of finished models: predictions, and the measures in `analysis.json`."""
