"""Who may lead a browser here: a page of a stranger may not.

A page can give its own name the address of this machine (DNS rebinding). What it then sends names a host,
or comes from a page, that this gate is not.

Source: MCP 2026-07-28, Streamable HTTP, "Security & Endpoint".
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from callgate.doors.exchange import Exchange
from callgate.errors import Denied, Reason


def check_origin(exchange: Exchange, hosts: Sequence[str], *, address: str) -> None:
    """Refuse a request that is addressed to somebody else, or comes from a page of somebody else.

    Args:
        exchange: The request.
        hosts: Names of this gate besides those of this machine.
        address: Where the request has arrived. At an address of a network that no name was set for,
            any name is taken for the gate's.

    Raises:
        Denied: It is refused.
    """
    origin = exchange.header("origin")
    if origin is not None and not _is_ours(_host_of(origin), hosts):
        raise _foreign(origin, header="Origin")
    host = exchange.header("host")
    if host is not None and (hosts or _is_loopback(address)):
        name = _host_of(f"//{host}")
        if name != address and not _is_ours(name, hosts):
            raise _foreign(host, header="Host")


def _is_ours(host: str | None, hosts: Sequence[str]) -> bool:
    return host is not None and (host in hosts or _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _foreign(found: str, *, header: str) -> Denied:
    fix = 'if that is this gate, add its name to hosts under [gate], such as hosts = ["gate.example.com"]'
    msg = f"the header {header} says {found!r}, which is no name of this gate; {fix}"
    return Denied(msg, reason=Reason(code="foreign_host", rule="gate.hosts", used=found, fix=fix))
