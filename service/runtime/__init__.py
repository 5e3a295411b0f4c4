"""ONNX Runtime: one step of many streams in one call."""
