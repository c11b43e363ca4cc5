"""Varints and masked checksums against literal bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlimages.wire import DamageError, masked_crc, read_varint, varint


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (127, "7f"), (128, "80 01"), (300, "ac 02"), ((1 << 64) - 1, "ff ff ff ff ff ff ff ff ff 01")],
)
def test_varint_has_seven_bits_in_a_byte_the_lowest_first(value: int, encoded: str) -> None:
    assert varint(value) == bytes.fromhex(encoded)
    assert read_varint(b"\xff" + bytes.fromhex(encoded) + b"\x05", 1) == (value, 1 + len(bytes.fromhex(encoded)))


@given(st.integers(0, (1 << 64) - 1))
def test_varint_is_read_back_from_bytes_and_from_a_view(value: int) -> None:
    data = varint(value)
    assert read_varint(data, 0) == read_varint(memoryview(data), 0) == (value, len(data))


def test_bits_beyond_64_are_dropped() -> None:
    assert read_varint(b"\xff" * 9 + b"\x7f", 0) == ((1 << 64) - 1, 10)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\xff" * 10 + b"\x01"])
def test_varint_that_does_not_end_is_damage(data: bytes) -> None:
    for each in (data, memoryview(data)):
        with pytest.raises(DamageError, match="a variable-length integer does not end"):
            read_varint(each, 0)


def test_checksum_is_masked_as_leveldb_does() -> None:
    crc = 0xE3069283  # of the check string of CRC-32C
    assert masked_crc(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
