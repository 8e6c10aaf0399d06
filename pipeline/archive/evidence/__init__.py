"""The evidence that travels with an archive, the forms in which it is written, and signatures."""
