"""The archive, the server that runs it, and the client that talks to it."""
