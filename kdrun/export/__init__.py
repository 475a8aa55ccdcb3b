"""Export of the student, with each file checked against the original network."""
