"""This package is the task of regression: an example has one or several numbers, and the network an output for each."""
