"""This package runs where the model is served: server-neutral decoding, comparison and prediction, and one adapter."""
