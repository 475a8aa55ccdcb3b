"""Pages and tables of finished runs, made from their files alone."""
