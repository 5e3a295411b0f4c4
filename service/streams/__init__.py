"""The seam: open a stream, push chunks, close it."""
