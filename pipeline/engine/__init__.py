"""What runs stages: artifacts, manifest, runner, cache keys, processes, calls of the user's code. It knows no stage."""
