"""The front: one ASGI application that every request enters, and the HTTP that carries it."""
