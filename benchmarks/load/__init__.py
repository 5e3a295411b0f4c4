"""The load generator: streams of the native wire over HTTP/2 frames made by hand."""
