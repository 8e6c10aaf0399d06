"""This package puts two model files side by side: layers are matched by name, timed, and their outputs compared."""
