"""Stubs of the Open Inference Protocol and of Triton's model configuration."""
