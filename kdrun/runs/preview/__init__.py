"""Previews that train nothing: `kdrun plan` and `kdrun layers`."""
