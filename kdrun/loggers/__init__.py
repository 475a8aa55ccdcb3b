"""Output during a run: console, tables, experiment trackers."""
