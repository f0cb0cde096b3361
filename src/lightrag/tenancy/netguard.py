"""Where tenants' base URLs may lead.

Always refused: link-local addresses and the metadata services of clouds, unspecified, multicast and reserved ones.
Refused unless the operator allows them: private and loopback addresses. A name is judged by every address that it
leads to, and clients connect to the judged addresses only (`lightrag.llm.network`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from lightrag.errors import ConfigurationError
from lightrag.llm.network import AddressRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "168.63.129.16/32",  # platform of Azure
        "192.0.0.192/32",  # metadata of Oracle Cloud
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::254/128",  # metadata of Amazon
        "fd20:ce::254/128",  # metadata of Google Cloud
    )
)
METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})

_TRANSLATED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "64:ff9b:1::/48",  # NAT64 of local use (RFC 8215)
    )
)
"""IPv6 networks whose addresses end with the IPv4 address that they stand for."""
_LOOKUP_SECONDS = 5.0


class NetGuard:
    """Judges addresses by the operator's list of hosts and networks; `*` in it allows all that may be allowed."""

    def __init__(self, allowed: Iterable[str], resolve: Resolve | None = None) -> None:
        self._all = False
        self._names: set[str] = set()
        self._networks: list[Network] = []
        self._resolve = resolve or _resolve
        for entry in allowed:
            self._allow(entry.strip())

    def check_host(self, host: str) -> None:
        """Judge what a host's name alone tells. Raises `AddressRefused`."""
        name = _plain(host)
        if name in METADATA_NAMES or any(name.endswith(f".{one}") for one in METADATA_NAMES if "." in one):
            raise AddressRefused(f"The host '{host[:100]}' is a metadata service, to which no base URL may lead")
        literal = _literal(name)
        if literal is not None:
            self._judge(name, literal)

    async def check_url(self, url: str) -> None:
        """Judge a base URL, with what its name leads to at this moment.

        Raises `AddressRefused`. A name that leads nowhere passes: it is judged again when it is connected to.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AddressRefused("A base URL must begin with http:// or https:// and name a host")
        try:
            await self.addresses(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        except OSError:
            return

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host that may be connected to; one that may not be refuses them all.

        Raises `AddressRefused`, OSError where the name leads nowhere.
        """
        self.check_host(host)
        name = _plain(host)
        literal = _literal(name)
        if literal is not None:
            return [str(literal)]
        try:
            async with asyncio.timeout(_LOOKUP_SECONDS):
                found = await self._resolve(name, port)
        except UnicodeError as error:
            raise AddressRefused(f"The host '{host[:100]}' is not a valid name") from error
        except TimeoutError:
            raise OSError("the name server does not answer") from None
        for text in found:
            self._judge(name, ip_address(text.partition("%")[0]))
        if not found:
            raise OSError("the name has no address")
        return list(dict.fromkeys(found))

    def _allow(self, entry: str) -> None:
        if not entry:
            return
        if entry == "*":
            self._all = True
            return
        try:
            self._networks.append(ip_network(entry.strip("[]"), strict=False))
        except ValueError:
            if "/" in entry or not _plain(entry):
                raise ConfigurationError(
                    f"LIGHTRAG_LLM_ALLOWED_HOSTS: '{entry}' is neither a host, an address, a network nor *"
                ) from None
            self._names.add(_plain(entry))

    def _judge(self, name: str, address: Address) -> None:
        for one in (address, *_embedded(address)):
            if any(one.version == network.version and one in network for network in NEVER):
                raise AddressRefused(
                    f"The host '{name[:100]}' leads to a link-local, metadata or reserved address, to which no base "
                    "URL may lead"
                )
            if not self._may(name, one):
                raise AddressRefused(
                    f"The host '{name[:100]}' leads to a private address; the operator of the server can allow it "
                    "with LIGHTRAG_LLM_ALLOWED_HOSTS"
                )

    def _may(self, name: str, address: Address) -> bool:
        if address.is_global or self._all or name in self._names:
            return True
        return any(address.version == network.version and address in network for network in self._networks)


def _plain(host: str) -> str:
    return host.strip().strip("[]").rstrip(".").lower()


def _literal(name: str) -> Address | None:
    try:
        return ip_address(name.partition("%")[0])
    except ValueError:
        return None


def _embedded(address: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return []
    found: list[Address] = [one for one in (address.ipv4_mapped, address.sixtofour) if one is not None]
    if address.teredo is not None:
        found.extend(address.teredo)
    if not address.is_loopback and any(address in network for network in _TRANSLATED):
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return found


async def _resolve(host: str, port: int) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
