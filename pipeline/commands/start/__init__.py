"""What `pipeline init` asks, what it looks at, and the recipe that it writes."""
