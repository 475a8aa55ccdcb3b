"""Readers of data sets, one for each source."""
