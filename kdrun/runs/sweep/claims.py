"""Locks of the folders of sweeps that this process runs.

Here and not in Hydra's callback, which launchers send to other processes. Imports nothing heavy.
"""

from contextlib import ExitStack

CLAIMS = ExitStack()
"""Holds what was claimed; as a context, lets go of it in the end."""
