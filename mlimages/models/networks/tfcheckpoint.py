"""TensorFlow V2 checkpoints, read without TensorFlow: the index table, its protobuf entries, the data shards.

A checkpoint ``PREFIX`` is ``PREFIX.index``, a LevelDB-style table from variable names to ``BundleEntryProto``, and
``PREFIX.data-SSSSS-of-NNNNN``, the bytes. Formats: TensorFlow's ``core/protobuf/tensor_bundle.proto`` and
``core/util/tensor_bundle``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import DataNotFoundError, FormatError
from mlimages.models.networks.leveltable import read_table
from mlimages.wire import DELIMITED, VARINT, DamageError, masked_crc, read_fields

_MOST_DIMENSIONS = 32  # what numpy 1 can hold; TensorFlow's limit is 254

_DTYPES: dict[int, np.dtype[Any]] = {  # DataType of types.proto; bfloat16 becomes float32, which holds it exactly
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    5: np.dtype("<i2"),
    6: np.dtype("i1"),
    8: np.dtype("<c8"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
    14: np.dtype("<u2"),
    17: np.dtype("<u2"),
    18: np.dtype("<c16"),
    19: np.dtype("<f2"),
    22: np.dtype("<u4"),
    23: np.dtype("<u8"),
}
_BFLOAT16, _STRING = 14, 7


@dataclass(frozen=True, slots=True)
class Variable:
    """An entry of the index: where the bytes of a variable are and what they mean.

    `dtype` is TensorFlow's ``DataType`` number; `shard`, `offset` and `size` are the number of the data file, position
    in it and length, in bytes; `checksum` is the masked CRC32C of the bytes; `sliced` says whether the variable is
    stored as slices (a partitioned variable).
    """

    name: str
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    sliced: bool


class TensorFlowCheckpoint:
    """A checkpoint as a mapping from variable names to arrays, which are read one at a time.

    Parameters
    ----------
    prefix : path-like
        The path without ``.index``.

    Attributes
    ----------
    variables : dict of str to Variable
        Sorted by name, as in the index.

    Raises
    ------
    DataNotFoundError
        Where there is no index.
    FormatError
        For an index that is damaged, compressed, big-endian or of another kind.
    """

    def __init__(self, prefix: str | os.PathLike[str]) -> None:
        self.prefix = Path(prefix)
        self.index_path = Path(f"{os.fspath(prefix)}.index")
        if not self.index_path.is_file():
            raise DataNotFoundError(
                f"{self.index_path}: no such file; expected a TensorFlow V2 checkpoint, given as the part of its "
                "path before .index"
            )
        self.shards, self.variables = _parse_index(self.index_path.read_bytes(), self.index_path)

    def __len__(self) -> int:
        return len(self.variables)

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def __contains__(self, name: object) -> bool:
        return name in self.variables

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Read the values of a variable and check their CRC32C; bfloat16 becomes float32.

        Raises
        ------
        KeyError
            For a name that is not in the index.
        DataNotFoundError
            Where the shard is missing.
        FormatError
            For a string or sliced variable, and for bytes that are missing or do not match their checksum.
        """
        variable = self.variables[name]
        dtype = self._dtype(variable)
        data = self._read(variable)
        if masked_crc(data) != variable.checksum:
            raise FormatError(
                f"variable {name!r}: its bytes do not match their checksum; the file is damaged, fetch it again",
                path=self.shard_path(variable.shard),
            )
        if variable.dtype == _BFLOAT16:
            values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif dtype.kind == "b":
            values = np.frombuffer(data, np.uint8) != 0
        else:
            values = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
        return values.reshape(variable.shape)

    def shard_path(self, shard: int) -> Path:
        """The data file of a shard."""
        return Path(f"{os.fspath(self.prefix)}.data-{shard:05d}-of-{self.shards:05d}")

    def _dtype(self, variable: Variable) -> np.dtype[Any]:
        """The dtype of a variable, once it is clear that it can be read and that its bytes fill its shape."""
        if variable.sliced:
            self._refuse(variable, "is stored in slices; save it unpartitioned")
        if variable.dtype == _STRING:
            self._refuse(variable, "holds strings; only numbers can be read")
        if variable.dtype not in _DTYPES:
            self._refuse(variable, f"has the data type {variable.dtype}; expected one of {sorted(_DTYPES)}")
        dtype = _DTYPES[variable.dtype]
        if math.prod(variable.shape) * dtype.itemsize != variable.size:
            self._refuse(
                variable,
                f"has the shape {list(variable.shape)} of {dtype.itemsize}-byte elements but {variable.size} bytes",
            )
        return dtype

    def _read(self, variable: Variable) -> bytes:
        path = self.shard_path(variable.shard)
        if not path.is_file():
            raise DataNotFoundError(f"{path}: no such file; it holds the variable {variable.name!r}")
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            if variable.offset + variable.size > length:  # before reading: a damaged size must not allocate
                raise FormatError(
                    f"variable {variable.name!r} is at bytes {variable.offset} to {variable.offset + variable.size}, "
                    f"but the file has {length}; it is cut short, fetch it again",
                    path=path,
                )
            file.seek(variable.offset)
            return file.read(variable.size)

    def _refuse(self, variable: Variable, why: str) -> None:
        raise FormatError(f"variable {variable.name!r} {why}", path=self.index_path)


def _parse_index(data: bytes, path: Path) -> tuple[int, dict[str, Variable]]:
    """Number of shards and the variables of an index file."""
    try:
        shards = 0
        variables: dict[str, Variable] = {}
        for number, (key, value) in enumerate(read_table(data)):
            if number == 0:
                if key:
                    raise DamageError("the first key is not the empty one of the header")
                shards = _header(value)
            elif not key.startswith(b"\0"):  # such keys hold slices of sliced variables
                variable = _entry(key, value, shards)
                variables[variable.name] = variable
        if not shards:
            raise DamageError("there is no header")
    except DamageError as damage:
        raise FormatError(
            f"{damage}; expected the index of a TensorFlow V2 checkpoint, written uncompressed and little-endian",
            path=path,
        ) from None
    return shards, variables


# The messages ---------------------------------------------------------------------------------------------------------


def _header(message: bytes) -> int:
    """``BundleHeaderProto``: the number of shards."""
    fields = dict(_fields(message))
    shards, endianness = _number(fields.get(1, 0)), _number(fields.get(2, 0))
    if endianness:
        raise DamageError("the data are big-endian")
    if not 1 <= shards <= 99_999:
        raise DamageError(f"the header counts {shards} shards")
    return shards


def _entry(key: bytes, message: bytes, shards: int) -> Variable:
    """``BundleEntryProto``."""
    try:
        name = key.decode()
    except UnicodeDecodeError:
        raise DamageError(f"the name {key!r:.80} is not UTF-8") from None
    every = list(_fields(message))
    fields = dict(every)
    shape = _shape(_message(fields.get(2, b"")))
    dtype, shard, offset, size, checksum = (_number(fields.get(number, 0)) for number in (1, 3, 4, 5, 6))
    if not 0 <= shard < shards or offset < 0 or size < 0 or not _is_possible(shape):
        raise DamageError(
            f"variable {name!r:.80} has shape {list(shape)[:8]}, shard {shard} of {shards}, offset {offset}, "
            f"size {size}"
        )
    return Variable(name, dtype, shape, shard, offset, size, checksum, any(number == 7 for number, _ in every))


def _is_possible(shape: tuple[int, ...]) -> bool:
    # zeros are left out of the product, as in numpy's own check for overflow
    return len(shape) <= _MOST_DIMENSIONS and min(shape, default=0) >= 0 and math.prod(filter(None, shape)) < 1 << 58


def _shape(message: bytes) -> tuple[int, ...]:
    """``TensorShapeProto``: its dimensions."""
    dimensions = [_message(value) for number, value in _fields(message) if number == 2]
    return tuple(_number(dict(_fields(dimension)).get(1, 0)) for dimension in dimensions)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a protobuf message; varints as signed 64-bit."""
    try:
        for number, wire, value in read_fields(message):
            if wire == VARINT:
                yield number, value - (1 << 64) if value >> 63 else value
            else:
                yield number, value if wire == DELIMITED else int.from_bytes(value, "little")
    except ValueError as error:
        raise DamageError(str(error)) from None


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise DamageError("a message has bytes where a number belongs")
    return value


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise DamageError("a message has a number where a message belongs")
    return value
