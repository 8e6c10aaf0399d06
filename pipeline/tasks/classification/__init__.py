"""This package is the task of classification: an example has one class, and the network has an output for each."""
