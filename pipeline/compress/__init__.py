"""This package holds the passes that make a network cheaper: pruning, fine-tuning, bfloat16 and int8."""
