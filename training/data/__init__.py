"""Sequences to train on: built-in sets, tables, splits and scaling."""
