"""Frozen teachers and their stored outputs."""
