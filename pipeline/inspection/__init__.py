"""What is in an .onnx, .pt or .mar file, without running or unpickling it."""
