"""From a file to a model that is proven and ready to serve, found by name and version."""
