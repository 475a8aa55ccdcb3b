"""Previews without training: `kdrun plan` and `kdrun layers`."""
