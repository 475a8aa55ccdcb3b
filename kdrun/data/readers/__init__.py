"""Readers of data sets, one per source."""
