"""The parts that run stages: artifacts, manifest, runner, cache keys, processes, calls of the user's code.

Nothing here knows a particular stage.
"""
