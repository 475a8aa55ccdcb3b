"""The files that runs leave: names, locks, checksums. Imports no torch."""
