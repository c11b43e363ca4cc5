"""Which addresses a download may connect to: by default public ones, over http and https.

Lists of URLs are untrusted input, and so are redirects. The check applies to the address that a socket is about to
connect to, when the socket is made. So it covers names that resolve to a private address, literal addresses in any
spelling, and names whose second look-up differs from the first (DNS rebinding).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Any

from mlimages.images.downloading.reason import Failure, Reason

if TYPE_CHECKING:
    import yarl

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_SCHEMES = ("http", "https")
_HOST_LENGTH = 253  # RFC 1035, as text


class PrivateAddressError(OSError):
    """The address is not public. The message names no address, so that several of them are reported as one error."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the address is private, loopback, link-local or reserved")


class Gate:
    """Decides which URLs and addresses are allowed: public ones, those in `allow_networks`, or with `allow_private`
    all.
    """

    def __init__(self, *, allow_private: bool = False, allow_networks: tuple[str, ...] = ()) -> None:
        self._allow_private = allow_private
        self._networks = [ipaddress.ip_network(network) for network in allow_networks]

    def url(self, text: str, base: yarl.URL | None = None) -> yarl.URL:
        """Parse a URL, or a redirect's target relative to `base`.

        Raises
        ------
        Failure
            ``bad_url`` where it cannot be parsed or names no host, ``unsupported_scheme`` unless http or https.
        """
        import yarl

        try:
            url = yarl.URL(text) if base is None else base.join(yarl.URL(text))
            host = url.raw_host
        except (ValueError, TypeError) as error:  # yarl raises either, and UnicodeError for a bad IDN
            raise Failure(Reason.BAD_URL) from error
        if url.scheme not in _SCHEMES:
            raise Failure(Reason.UNSUPPORTED_SCHEME if url.scheme else Reason.BAD_URL)
        if not host or len(host) > _HOST_LENGTH:
            raise Failure(Reason.BAD_URL)
        return url

    def allows(self, address: str) -> bool:
        """Whether an IP address may be connected to.

        Examples
        --------
        >>> [Gate().allows(a) for a in ("8.8.8.8", "10.0.0.1", "127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")]
        [True, False, False, False, False]
        >>> Gate(allow_networks=("10.0.0.0/8",)).allows("10.0.0.1")
        True
        """
        if self._allow_private:
            return True
        found = ipaddress.ip_address(address.partition("%")[0])  # "%eth0" is a link-local address's zone
        if any(found in network for network in self._networks if network.version == found.version):
            return True
        return all(
            part.is_global and not part.is_multicast and not part.is_reserved and not part.is_unspecified
            for part in _with_embedded(found)
        )

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Make the socket for one address: the ``socket_factory`` of :class:`aiohttp.TCPConnector`.

        `info` is family, type, protocol, canonical name and socket address.

        Raises
        ------
        PrivateAddressError
            Where the address may not be connected to.
        """
        family, kind, protocol, _, address = info
        if not self.allows(address[0]):
            raise PrivateAddressError
        return socket.socket(family=family, type=kind, proto=protocol)


def _with_embedded(address: IPAddress) -> list[IPAddress]:
    """The addresses that a connection to `address` reaches: an embedded IPv4 address counts as well."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address, address.sixtofour]
    if address.teredo is not None:
        return [address, *address.teredo]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)]
    return [address]
