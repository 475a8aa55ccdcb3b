"""Catalog of the names a config may use: architectures, data sets, schedules. Imports no torch."""
