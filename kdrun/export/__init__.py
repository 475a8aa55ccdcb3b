"""Export of the student alone, each file checked against the original network."""
