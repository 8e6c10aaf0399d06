"""This package times candidates in interleaved rounds, a process each, and decides what may be claimed from it."""
