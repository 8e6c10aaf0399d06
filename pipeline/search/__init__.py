"""The search for the network that is smallest, or fastest, inside the budget."""
