"""Generated from the .proto files beside it; see `protos/generate.py`."""
