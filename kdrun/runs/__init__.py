"""Runs and sweeps: from a config to a finished folder."""
