"""The server that runs an archive, and the client that talks to it."""
