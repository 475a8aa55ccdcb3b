"""What a run's finished models answer, and what `kdrun.analysis` makes of it: `analysis.json`."""
