"""This package is the task of giving labels: an example has any number of them, and the network an output for each."""
