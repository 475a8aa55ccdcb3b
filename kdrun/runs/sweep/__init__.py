"""Sweeps: jobs in processes of their own."""
