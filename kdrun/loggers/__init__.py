"""Output of a run while it works: console, tables, experiment trackers."""
