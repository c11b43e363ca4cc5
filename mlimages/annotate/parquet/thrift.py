"""As much of Thrift's compact protocol as a Parquet footer needs: structs of integers, booleans, bytes and lists.

The format: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlimages.wire import varint

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _BINARY, _LIST, _STRUCT = 1, 2, 3, 4, 5, 6, 8, 9, 12


@dataclass(frozen=True, slots=True)
class _Sized:
    """An integer of a size; a plain ``int`` is written with 32 bits."""

    value: int


class I8(_Sized):
    """An 8-bit integer."""


class I16(_Sized):
    """A 16-bit integer."""


class I64(_Sized):
    """A 64-bit integer."""


#: A struct by field number, ascending; lists hold one kind of value and are not empty.
Struct = Mapping[int, "Value"]
Value = bool | int | I8 | I16 | I64 | bytes | Sequence["Value"] | Struct


def zigzag(value: int) -> bytes:
    """A signed integer as the varint of ``2 v`` or ``-2 v - 1``."""
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def struct(fields: Struct) -> bytes:
    """Encode a struct.

    Examples
    --------
    >>> struct({1: 5, 2: [True, False]}).hex(" ")
    '15 0a 19 22 01 02 00'
    """
    out = bytearray()
    last = 0
    for number, value in fields.items():
        kind = _kind(value)
        delta = number - last
        out += bytes([delta << 4 | kind]) if 0 < delta < 16 else bytes([kind]) + zigzag(number)
        last = number
        if kind not in (_TRUE, _FALSE):  # a boolean field is its own type
            out += _encode(value)
    out.append(0)
    return bytes(out)


def _kind(value: Value) -> int:
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    for kind, number in ((int, _I32), (I64, _I64), (bytes, _BINARY), (Mapping, _STRUCT), (I8, _BYTE), (I16, _I16)):
        if isinstance(value, kind):
            return number
    return _LIST


def _encode(value: Value) -> bytes:
    if isinstance(value, bool):
        return bytes([_TRUE if value else _FALSE])
    if isinstance(value, int):
        return zigzag(value)
    if isinstance(value, I16 | I64):
        return zigzag(value.value)
    if isinstance(value, I8):
        return bytes([value.value & 0xFF])
    if isinstance(value, bytes):
        return varint(len(value)) + value
    if isinstance(value, Mapping):
        return struct(value)
    kind = _kind(value[0]) if value else _STRUCT
    kind = _FALSE if kind == _TRUE else kind  # lists of booleans carry the one type
    head = bytes([len(value) << 4 | kind]) if len(value) < 15 else bytes([0xF0 | kind]) + varint(len(value))
    return head + b"".join(map(_encode, value))
