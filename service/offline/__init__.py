"""Scores history in batches: a table of steps in, a table of answers out."""
