"""TFRecord shards with the published fields, written and read without TensorFlow.

A shard is a sequence of frames; its CRCs are CRC-32C, masked (rotated right by 15 bits, plus 0xa282ead8)::

    uint64 length | uint32 masked CRC of length | byte data[length] | uint32 masked CRC of data

all little-endian (https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details). The data of a
frame is a ``tf.train.Example`` with these features:

======  ======  ================================================
width   int64   of the image, pixels
height  int64   of the image, pixels
image   bytes   the encoded image, JPEG in the published shards
label   bytes   little-endian float32, one for each category
name    bytes   the image's name, UTF-8
======  ======  ================================================
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import FormatError
from mlimages.images.tfrecord.example import Feature, decode_example, encode_example
from mlimages.storage.files import replacing
from mlimages.wire import masked_crc

_HEAD, _FOOT = 12, 4  # bytes before and after the data of a frame
_DAMAGED = "the file is damaged or not a TFRecord: fetch or write it anew"


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One image of a shard.

    Parameters
    ----------
    name : str
        The image's name.
    image : bytes
        The encoded image.
    width, height : int
        Its size in pixels.
    label : float32 array, shape (categories,)
        The confidence of each category; 0 where the image does not carry it.
    """

    name: str
    image: bytes
    width: int
    height: int
    label: NDArray[np.float32]


def read(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Read the records of a shard.

    Parameters
    ----------
    path : path-like
        The shard.

    Yields
    ------
    Record
        In the order of the file. Memory holds one record at a time.

    Raises
    ------
    FormatError
        For a truncated file, a CRC that does not match, data that are not a ``tf.train.Example``, a feature that is
        missing or of another type; names the file and the byte where the record starts.
    """
    for offset, data in read_frames(path):
        try:
            record = _record(decode_example(data))
        except ValueError as error:
            raise _damaged(path, offset, f"{error}; expected a tf.train.Example with the published fields") from error
        yield record


def write(path: str | os.PathLike[str], records: Iterable[Record]) -> int:
    """Write a shard, under a temporary name until it is complete.

    Parameters
    ----------
    path : path-like
        The shard; an existing file is replaced.
    records : iterable of Record
        Objects with the attributes of :class:`Record`.

    Returns
    -------
    int
        Number of records written.
    """
    count = 0
    with replacing(Path(path)) as file:
        for record in records:
            file.writelines(encode_frame(encode_record(record)))
            count += 1
    return count


def read_frames(path: str | os.PathLike[str]) -> Iterator[tuple[int, bytes]]:
    """Read the frames of any TFRecord file: the offset in bytes and the data of each, with CRCs checked.

    Raises
    ------
    FormatError
        Where the file ends inside a frame or a CRC does not match.
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        offset = 0
        while head := file.read(_HEAD):
            if len(head) < _HEAD:
                raise _damaged(path, offset, f"found {len(head)} bytes, expected the {_HEAD} before a record")
            if _masked(head[:8]) != head[8:]:
                raise _damaged(path, offset, "the CRC of the length does not match")
            length = int.from_bytes(head[:8], "little")
            left = size - offset - _HEAD
            if length + _FOOT > left:
                raise _damaged(path, offset, f"found {left} bytes, expected a record of {length} and its CRC")
            data, foot = file.read(length), file.read(_FOOT)
            if _masked(data) != foot:
                raise _damaged(path, offset, "the CRC of the data does not match")
            yield offset, data
            offset += _HEAD + length + _FOOT


def encode_record(record: Record) -> bytes:
    """Serialise a record as a ``tf.train.Example``."""
    features: dict[str, Feature] = {
        "width": np.array([record.width], np.int64),
        "height": np.array([record.height], np.int64),
        "image": [record.image],
        "label": [np.asarray(record.label, "<f4").tobytes()],
        "name": [record.name.encode()],
    }
    return encode_example(features)


def encode_frame(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Encode a frame: the length and its CRC, the data, the CRC of the data."""
    length = len(data).to_bytes(8, "little")
    return length + _masked(length), data, _masked(data)


def _masked(data: bytes) -> bytes:
    return masked_crc(data, extra="images").to_bytes(4, "little")


def _record(features: dict[str, Feature]) -> Record:
    label = _bytes(features, "label")
    if len(label) % 4:
        raise ValueError(f"found a label of {len(label)} bytes, expected float32, a multiple of 4")
    return Record(
        name=_bytes(features, "name").decode(),
        image=_bytes(features, "image"),
        width=_integer(features, "width"),
        height=_integer(features, "height"),
        label=np.frombuffer(label, "<f4").astype(np.float32),
    )


def _bytes(features: dict[str, Feature], name: str) -> bytes:
    values = features.get(name)
    if not isinstance(values, list) or len(values) != 1:
        raise ValueError(f"found {_describe(values)} as {name!r}, expected one value of bytes")
    return values[0]


def _integer(features: dict[str, Feature], name: str) -> int:
    values = features.get(name)
    if values is None or isinstance(values, list) or values.dtype != np.int64 or len(values) != 1:
        raise ValueError(f"found {_describe(values)} as {name!r}, expected one int64")
    return int(values[0])


def _describe(values: Feature | None) -> str:
    if values is None:
        return "nothing"
    return f"{len(values)} of {'bytes' if isinstance(values, list) else values.dtype}"


def _damaged(path: str | os.PathLike[str], offset: int, message: str) -> FormatError:
    return FormatError(f"record at byte {offset}: {message}: {_DAMAGED}", path=path)
