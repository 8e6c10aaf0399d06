"""Where the time of training and of forward passes goes: recorded by operator, tried otherwise, compared."""
