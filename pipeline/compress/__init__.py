"""Passes that make a network cheaper: magnitude pruning, int8 of a module, int8 of an ONNX file."""
