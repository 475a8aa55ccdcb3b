"""Sweeps: one process per job."""
