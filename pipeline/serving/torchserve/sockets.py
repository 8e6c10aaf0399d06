"""Names of the Unix sockets in a server's private folder, which only its user can enter."""

from __future__ import annotations

MANAGEMENT_SOCKET, INFERENCE_SOCKET = "management.sock", "inference.sock"
