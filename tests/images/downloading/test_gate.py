import asyncio
import socket

import pytest
from hostile import HostileServer

from mlimages.images import DownloadOptions
from mlimages.images.downloading.fetch import Fetcher
from mlimages.images.downloading.gate import Gate, PrivateAddressError
from mlimages.images.downloading.reason import Failure


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
        "192.168.1.1", "198.18.0.1", "203.0.113.5", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
    ],
)  # fmt: skip
def test_gate_refuses_addresses_that_are_not_public(address: str) -> None:
    assert not Gate().allows(address)
    assert Gate(allow_private=True).allows(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_gate_lets_public_addresses_through(address: str) -> None:
    assert Gate().allows(address)


def test_gate_lets_only_the_named_network_through() -> None:
    gate = Gate(allow_networks=("127.0.0.1/32", "fd00::/8"))
    assert gate.allows("127.0.0.1")
    assert gate.allows("fd12::1")
    assert not gate.allows("127.0.0.2")
    assert not gate.allows("10.0.0.1")


def test_gate_makes_no_socket_for_a_private_address() -> None:
    with pytest.raises(PrivateAddressError, match="private, loopback, link-local or reserved"):
        Gate().socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.168.0.1", 80)))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.org/a.jpg", "unsupported_scheme"),
        ("file:///etc/passwd", "unsupported_scheme"),
        ("data:image/png;base64,AAAA", "unsupported_scheme"),
        ("gopher://example.org/", "unsupported_scheme"),
        ("a.jpg", "bad_url"),
        ("", "bad_url"),
        ("http://", "bad_url"),
        ("http:///a.jpg", "bad_url"),
        ("http://[::1", "bad_url"),
        ("http://example.org:99999/", "bad_url"),
        (f"http://{'a' * 300}.org/", "bad_url"),
    ],
)
def test_gate_refuses_urls_that_are_none(url: str, reason: str) -> None:
    with pytest.raises(Failure, match=f"^{reason}$"):
        Gate().url(url)


async def _reason(url: str, options: DownloadOptions, folder) -> str:
    async def use(body: object) -> str:
        return "arrived"

    async with Fetcher(options, folder=folder) as fetcher:
        try:
            return await fetcher.fetch(url, use)
        except Failure as failure:
            return failure.reason


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "LOCALHOST"])
def test_fetch_refuses_loopback_however_it_is_written(server: HostileServer, tmp_path, host: str) -> None:
    url = f"http://{host}:{server.port}/good/1.jpg"
    assert asyncio.run(_reason(url, DownloadOptions(retries=0), tmp_path)) == "private_address"
    assert server.seen.total() == 0


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001", "0177.0.0.1"])
def test_fetch_reaches_nothing_by_odd_spellings_of_loopback(server: HostileServer, tmp_path, host: str) -> None:
    url = f"http://{host}:{server.port}/good/1.jpg"
    reason = asyncio.run(_reason(url, DownloadOptions(retries=0), tmp_path))
    assert reason in {"bad_url", "private_address", "dns"}
    assert server.seen.total() == 0


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.2:1/x", "http://10.0.0.1/x", "http://169.254.169.254/latest/meta-data", "//192.168.0.1/x"],
)
def test_fetch_refuses_a_redirect_to_a_private_address(server: HostileServer, tmp_path, target: str) -> None:
    options = DownloadOptions(allow_networks=("127.0.0.1/32",), retries=0)
    assert asyncio.run(_reason(f"{server.root}/to/{target}", options, tmp_path)) == "private_address"


def test_fetch_refuses_a_redirect_to_a_file(server: HostileServer, tmp_path) -> None:
    options = DownloadOptions(allow_networks=("127.0.0.1/32",), retries=0)
    assert asyncio.run(_reason(f"{server.root}/to/file:///etc/passwd", options, tmp_path)) == "unsupported_scheme"
