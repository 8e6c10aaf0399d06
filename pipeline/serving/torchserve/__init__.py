"""TorchServe: what it is started with, what keeps it from starting, and when it is ready."""
