"""Serves recurrent ONNX models to many streams at once, and scores history in batches."""
