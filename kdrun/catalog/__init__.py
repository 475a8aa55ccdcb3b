"""Catalog of the names that a config may use: terms, networks, data sets. Imports no torch."""
