"""A module as a file: TorchScript, ONNX."""
