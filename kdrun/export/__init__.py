"""The student alone, in files for elsewhere, each checked against the network it came from."""
