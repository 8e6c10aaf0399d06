"""What travels with an archive as its evidence, the forms it is told in, and signatures."""
