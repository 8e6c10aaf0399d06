"""Exports a module to a TorchScript or an ONNX file."""
