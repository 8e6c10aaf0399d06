"""Classification: each example has one class, and the network has an output for each."""
