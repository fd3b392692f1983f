"""Which hosts a fetch may talk to: public addresses, and others only by name.

What is judged is the address that is connected to, after name resolution and for every connection
anew, so that neither a redirect, nor a name that points inwards, nor one that changes its mind
between two look-ups (DNS rebinding), nor another spelling of a number gets past.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SCHEMES = ("http", "https")
NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            # Registered for special use (RFC 6890 and after), whatever a Python version knows.
            "0.0.0.0/8",
            "100.64.0.0/10",
            "192.0.0.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "240.0.0.0/4",
            "64:ff9b:1::/48",
            "100::/64",
            "2001:db8::/32",
            "3fff::/20",
            "5f00::/16",
            "fec0::/10",
        ),
    )
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")
HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


class RefusedAddressError(ValueError):
    """An address that is not asked. Final: trying again changes nothing."""


def is_public(address: str | Address) -> bool:
    """Whether an IP address is one of the public internet.

    Loopback, private, shared (100.64.0.0/10), link-local, unique local, multicast, reserved and
    documentation ranges are not. An IPv6 address that carries an IPv4 one (mapped, 6to4, Teredo,
    NAT64) is as public as what it carries. Raises ValueError for what is no IP address.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        carried = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in NAT64 or int(ip) >> 32 == 0:  # ::a.b.c.d, the compatible form
            carried.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        carried = [c for c in carried if c is not None]
        if carried:
            return all(is_public(c) for c in carried)
        if ip.is_site_local:
            return False
    return (
        ip.is_global
        and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)
        and not any(ip in n for n in NOT_PUBLIC if n.version == ip.version)
    )


def host_in(url: str) -> str:
    """The host of an http(s) address, in lower case. Raises RefusedAddressError."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:  # an unclosed bracket, a port that is none
        raise RefusedAddressError(f"{url!r} is no address: {error}") from None
    if parts.scheme.lower() not in SCHEMES:
        raise RefusedAddressError(
            f"{url!r} is not asked: only http and https are, not {parts.scheme or 'no scheme'}"
        )
    if not host:
        raise RefusedAddressError(f"{url!r} names no host")
    return host


class AllowedHosts:
    """`names` are host names, IP addresses and networks that may be asked though not public.

    `setting` is how the user allows a host; it stands in the sentence of a refusal. Raises
    ValueError for an entry that is none of the three.
    """

    def __init__(self, names: Sequence[str] = (), setting: str | None = None) -> None:
        self.setting = setting
        self.names: set[str] = set()
        self.networks: list[Network] = []
        for entry in names:
            text = entry.strip().lower().strip("[]").rstrip(".")
            try:
                self.networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                if not HOST.fullmatch(text):
                    raise ValueError(
                        f"{entry!r} is no host: give a name (intranet.example), an address "
                        "(127.0.0.1) or a network (10.0.0.0/8), without scheme, port or path"
                    ) from None
                self.names.add(text)

    def allows(self, host: str, address: str) -> bool:
        """Whether `host`, which resolved to the IP address `address`, may be connected to."""
        ip = ipaddress.ip_address(address)
        mapped = getattr(ip, "ipv4_mapped", None) or ip
        return (
            host.lower().strip("[]").rstrip(".") in self.names
            or any(mapped in n or ip in n for n in self.networks)
            or is_public(ip)
        )

    def resolve(self, host: str, port: int) -> list[tuple]:
        """`getaddrinfo` rows of `host` that may be connected to, in the resolver's order.

        Raises RefusedAddressError if there are only others, OSError if the name is not known.
        """
        try:
            found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        except UnicodeError:  # a label that is empty or too long
            raise RefusedAddressError(f"{host!r} is no name of a host") from None
        good = [row for row in found if self.allows(host, str(row[4][0]))]
        if found and not good:
            raise self.refusal(host, str(found[0][4][0]))
        return good

    def refusal(self, host: str, address: str) -> RefusedAddressError:
        """The sentence for a host that is not asked, with the way to allow it."""
        meant = f"{host} ({address})" if host != address else host
        way = f"; if you mean it, --set {self.setting}={host}" if self.setting else ""
        return RefusedAddressError(f"{meant} is no public address and was not asked{way}")

    def connect(
        self,
        address: tuple[str, int],
        timeout: object = None,
        source_address: tuple[str, int] | None = None,
    ) -> socket.socket:
        """Like `socket.create_connection`, but only to addresses that are allowed.

        The rows that were judged are the ones connected to. Raises RefusedAddressError, OSError.
        """
        last: OSError | None = None
        for family, kind, protocol, _, place in self.resolve(*address):
            connection = socket.socket(family, kind, protocol)
            try:
                if timeout is None or isinstance(timeout, (int, float)):
                    connection.settimeout(timeout)
                if source_address:
                    connection.bind(source_address)
                connection.connect(place)
                return connection
            except OSError as error:
                last = error
                connection.close()
        raise last or OSError(f"{address[0]} has no address")
