"""The typed configuration: `schema` declares it, `parse` reads it, `compose` is Hydra's part.

Imports no torch, so that help and config errors answer at once.
"""
