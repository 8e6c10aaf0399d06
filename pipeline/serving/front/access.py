"""Who may ask: the token, and the names and pages under which a browser may reach the server.

A page of any site can make a browser on this machine post to a server on loopback, and can give loopback a name of the
site's own (DNS rebinding). So a request without a token must be for a name of this machine, and from no other page.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pipeline.serving.door import Door
from pipeline.serving.front.answer import Answer, refused

_SCHEME = b"bearer "
# An IPv6 address in brackets with the name of an interface has 63 characters at most.
_LONGEST_ADDRESS = 63


@dataclass(frozen=True)
class Access:
    """What a request must bring.

    Args:
        door: the server's door.
    """

    door: Door

    def lacks_token(self, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a token is asked for and the request brings none, not even a wrong one."""
        return self.door.token is not None and b"authorization" not in headers

    def refuse(self, headers: Mapping[bytes, bytes]) -> Answer | None:
        """Return the answer to a request that may not ask; None for one that may.

        Args:
            headers: the request's headers, by names in lower case.
        """
        if self.door.token is not None:
            return None if self._has_token(headers) else _NO_TOKEN
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._is_ours(host):
            return refused(
                421,
                "a request for another host",
                expected="an address, localhost, or a name given with --allow-host",
                found=host or "no host",
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower().partition("://")[2] != host:
            return refused(
                403, "a request from another site's page", expected=f"a page of {host}", found=origin.decode("latin-1")
            )
        return None

    def _has_token(self, headers: Mapping[bytes, bytes]) -> bool:
        given = headers.get(b"authorization", b"")
        if given[: len(_SCHEME)].lower() != _SCHEME or self.door.token is None:
            return False
        return hmac.compare_digest(given[len(_SCHEME) :].strip(), self.door.token.encode())

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if name == "localhost" or name in self.door.names:
            return True
        return len(name) <= _LONGEST_ADDRESS and _is_address(name.strip("[]"))


# Most requests are for one and the same name, and to parse it takes longer than all else that is looked at here.
@lru_cache(maxsize=64)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


_NO_TOKEN = refused(
    401, "no right token", expected="authorization: Bearer <token>", found="another one or none", challenge=True
)
