"""Bytes on the wire: varints and masked checksums, as Protocol Buffers, Thrift, TFRecord and LevelDB have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlimages.errors import import_extra

#: Wire types of Protocol Buffers.
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5

_MOST_BITS = 70  # of a varint, seven in each of the ten bytes that 64 bits take


class DamageError(Exception):
    """Bytes that do not follow their format; becomes a FormatError where the path is known."""


def masked_crc(data: bytes, *, extra: str = "train") -> int:
    """CRC32C of `data`, rotated and offset as LevelDB and TFRecord store it: 32 bits; `extra` installs what sums it."""
    crc: int = import_extra("google_crc32c", extra=extra).value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    """Encode an unsigned integer in groups of seven bits, the lowest first (ULEB128).

    Examples
    --------
    >>> varint(300).hex(" ")
    'ac 02'
    """
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """Decode the varint at position `at`.

    Returns
    -------
    int, int
        Its value modulo 2**64, and the position after it.

    Raises
    ------
    DamageError
        Where `data` ends within it, or it is longer than ten bytes.

    Examples
    --------
    >>> read_varint(bytes.fromhex("ac 02"), 0)
    (300, 2)
    """
    value = shift = 0
    try:
        while shift < _MOST_BITS:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at
            shift += 7
    except IndexError:
        pass
    raise DamageError("a variable-length integer does not end")


def read_fields(message: bytes | memoryview) -> Iterator[tuple[int, int, Any]]:
    """The fields of a Protocol Buffers message: number, wire type and value, an integer for a varint, else bytes.

    Raises
    ------
    DamageError
        Where a varint does not end.
    ValueError
        For another wire type, and where the message ends within a field.
    """
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        wire = tag & 7
        if wire == VARINT:
            value, at = read_varint(message, at)
            yield tag >> 3, wire, value
            continue
        if wire == DELIMITED:
            size, at = read_varint(message, at)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"found the wire type {wire}, expected 0, 1, 2 or 5")
        if size > len(message) - at:
            left = len(message) - at
            raise ValueError(f"found a field of {size} bytes where {left} are left: a message ends within a field")
        yield tag >> 3, wire, message[at : at + size]
        at += size
