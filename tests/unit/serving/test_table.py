"""The closed table of servers."""

from __future__ import annotations

from typing import get_args

from pipeline.serving.defaults import DEFAULT_SERVER, ServerName
from pipeline.serving.table import SERVERS


def test_every_server_has_its_entry_and_folders_of_its_own() -> None:
    assert tuple(SERVERS) == get_args(ServerName)
    assert DEFAULT_SERVER in SERVERS
    prefixes = [server.folder_prefix for server in SERVERS.values()]
    assert all(prefixes)
    assert not [
        prefix for prefix in prefixes for longer in prefixes if prefix is not longer and longer.startswith(prefix)
    ]
