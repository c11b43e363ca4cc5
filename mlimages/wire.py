"""Bytes on the wire: varints and masked checksums, as protocol buffers, TFRecord and LevelDB have them."""

from __future__ import annotations

from mlimages.errors import import_extra


class DamageError(Exception):
    """What is wrong with the bytes at hand; becomes a FormatError where the path is known."""


def masked_crc(data: bytes) -> int:
    """CRC32C, rotated and offset as LevelDB stores it."""
    crc: int = import_extra("google_crc32c", extra="train").value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer of up to 64 bits, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise DamageError("a variable-length integer does not end")
