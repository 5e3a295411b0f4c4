"""Looks into a fitted run: how errors flow back in time, what its gates do, and what it left."""
