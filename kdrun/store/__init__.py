"""The files of finished runs and sweeps: names, locks, checksums. Imports no torch."""
