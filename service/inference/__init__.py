"""Requests of the Open Inference Protocol, whichever transport brings them."""
