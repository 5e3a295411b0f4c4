"""What a model is by its files: the folder, the file and its manifest, config.pbtxt, its graph."""
