"""Turns a fitted network into an ONNX artefact, and proves it before anything is written."""
