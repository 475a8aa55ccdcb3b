"""The command line."""

from kdrun.cli.main import main

__all__ = ["main"]
