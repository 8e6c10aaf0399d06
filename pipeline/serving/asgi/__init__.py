"""Our own server: workers that carry the front themselves, and run the model in their own processes."""
