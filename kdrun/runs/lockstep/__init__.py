"""Lockstep: students of a sweep trained side by side on one pass over data and teacher."""
