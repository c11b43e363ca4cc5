"""``tf.train.Example`` messages, with the part of Protocol Buffers that they use, without TensorFlow.

An Example maps feature names to lists of bytes, of float32 or of int64::

    Example  { Features features = 1; }
    Features { map<string, Feature> feature = 1; }      // entries { string key = 1; Feature value = 2; }
    Feature  { oneof { BytesList = 1; FloatList = 2; Int64List = 3; } }
    xList    { repeated x value = 1; }                  // numbers packed, as proto3 has them

The wire format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mlimages.wire import DELIMITED, FIXED32, VARINT, DamageError, read_fields, read_varint, varint

#: The values of one feature: a list of bytes, or an array of float32 or int64.
Feature = list[bytes] | NDArray[np.float32] | NDArray[np.int64]

_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_64_BITS = 0xFFFF_FFFF_FFFF_FFFF  # a negative number is its 64-bit complement


def encode_example(features: Mapping[str, Feature]) -> bytes:
    """Serialise an Example, with its features in the given order.

    Examples
    --------
    >>> encode_example({"width": np.array([500])}).hex(" ")
    '0a 11 0a 0f 0a 05 77 69 64 74 68 12 06 1a 04 0a 02 f4 03'
    """
    entries = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, _encode_feature(values))) for name, values in features.items()
    )
    return _field(1, entries)


def decode_example(data: bytes | memoryview) -> dict[str, Feature]:
    """Parse an Example.

    Returns
    -------
    dict of str to list of bytes, float32 array or int64 array
        The features; where one occurs twice, the last, as Protocol Buffers specify.

    Raises
    ------
    ValueError
        Where the bytes are not such a message; states what was found.
    """
    try:
        return _decode_features(memoryview(data))
    except DamageError:
        raise ValueError("found an integer that does not end") from None


def _decode_features(data: memoryview) -> dict[str, Feature]:
    features: dict[str, Feature] = {}
    for body in _messages(data, field=1):
        for entry in _messages(body, field=1):
            name, values = "", None
            for number, wire, value in read_fields(entry):
                if number == 1 and wire == DELIMITED:
                    name = bytes(value).decode()  # its error is a ValueError too
                elif number == 2 and wire == DELIMITED:
                    values = _decode_feature(value)
            if values is not None:
                features[name] = values
    return features


def _encode_feature(values: Feature) -> bytes:
    if isinstance(values, list):
        return _field(_BYTES_LIST, b"".join(_field(1, value) for value in values))
    if values.dtype.kind == "f":
        return _field(_FLOAT_LIST, _field(1, values.astype("<f4").tobytes()))
    return _field(_INT64_LIST, _field(1, b"".join(varint(int(value) & _64_BITS) for value in values)))


def _decode_feature(data: memoryview) -> Feature | None:
    """The values of a Feature; None for one without a list, which the format allows."""
    result: Feature | None = None
    for number, wire, value in read_fields(data):
        if wire != DELIMITED:
            continue
        if number == _BYTES_LIST:
            result = [bytes(item) for item in _messages(value, field=1)]
        elif number == _FLOAT_LIST:
            result = _floats(value)
        elif number == _INT64_LIST:
            result = _integers(value)
    return result


def _floats(data: memoryview) -> NDArray[np.float32]:
    pieces = []
    for number, wire, value in read_fields(data):
        if number == 1 and wire in (DELIMITED, FIXED32):  # packed, or one by one
            if len(value) % 4:
                raise ValueError(f"found {len(value)} bytes of packed float32, expected a multiple of 4")
            pieces.append(np.frombuffer(value, "<f4"))
    return np.concatenate(pieces).astype(np.float32) if pieces else np.empty(0, np.float32)


def _integers(data: memoryview) -> NDArray[np.int64]:
    values: list[int] = []
    for number, wire, value in read_fields(data):
        if number != 1:
            continue
        if wire == VARINT:
            values.append(value)
        elif wire == DELIMITED:
            at = 0
            while at < len(value):
                item, at = read_varint(value, at)
                values.append(item)
    return np.array(values, np.uint64).view(np.int64)  # negative numbers are in two's complement


def _messages(data: memoryview, *, field: int) -> Iterator[memoryview]:
    """The length-delimited fields with one number; others are skipped, as unknown fields are."""
    for number, wire, value in read_fields(data):
        if number == field and wire == DELIMITED:
            yield value


def _field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | DELIMITED) + varint(len(data)) + data
