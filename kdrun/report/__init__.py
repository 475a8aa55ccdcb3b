"""Report pages and tables of finished runs, from their files alone."""
