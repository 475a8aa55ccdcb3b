"""Lockstep training: students of a sweep share one pass over data and teacher."""
