"""Locks on the folders of this process's sweeps.

They are not in Hydra's callback, which launchers send to other processes. Light imports only.
"""

from contextlib import ExitStack

CLAIMS = ExitStack()
"""Holder of the claimed locks; a context that releases them at its end."""
