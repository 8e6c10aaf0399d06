"""Describes the content of .onnx, .pt and .mar files without running or unpickling them."""
