"""Fits gated recurrent networks with back-propagation through time."""
