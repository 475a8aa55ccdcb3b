"""Typed configuration: schema, parsing, composition by Hydra.

Imports no torch, so that help and config errors appear at once.
"""
