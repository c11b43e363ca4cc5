"""LevelDB-style tables, as TensorFlow writes them: sorted keys and values in checksummed blocks.

Formats: LevelDB's ``doc/table_format.md`` and TensorFlow's ``core/lib/io/table_builder.cc``; integers as in protobuf.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from mlimages.wire import DamageError, masked_crc, read_varint

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48  # two block handles padded to 40 bytes, then the magic
_TRAILER = 5  # compression type, masked CRC32C
_LONGEST_NAME = 4096  # bytes; names are prefix-compressed, so a small damaged file could otherwise need much memory


def read_table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table.

    Keys must ascend and blocks must not overlap, as in every valid file: so no damage can make a block be read many
    times.

    Raises
    ------
    DamageError
        For a table that is damaged or compressed, or another kind of file.
    """
    if len(data) < _FOOTER:
        raise DamageError(f"the file has {len(data)} bytes, fewer than a table's footer of {_FOOTER}")
    footer = data[-_FOOTER:]
    if struct.unpack("<Q", footer[40:])[0] != _MAGIC:
        raise DamageError(f"the last eight bytes are {footer[40:].hex()}, not a table's magic number")
    at = read_varint(footer, read_varint(footer, 0)[1])[1]  # after the handle of the meta index, which is empty
    last: bytes | None = None
    free = 0
    for _, handle in _block(data, *_handle(footer, at)):
        offset, size = _handle(handle, 0)
        if offset < free:
            raise DamageError(f"the block at byte {offset} begins within the one before")
        free = offset + size + _TRAILER
        for key, value in _block(data, offset, size):
            if last is not None and key <= last:
                raise DamageError(f"the key {key!r:.80} does not come after {last!r:.80}")
            last = key
            yield key, value


def _handle(data: bytes, at: int) -> tuple[int, int]:
    """Offset and size of a block, in bytes."""
    offset, at = read_varint(data, at)
    return offset, read_varint(data, at)[0]


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block: shared prefix length, rest of the key, value; then the restart offsets."""
    end = offset + size
    if end + _TRAILER > len(data):
        raise DamageError(f"a block is at bytes {offset} to {end} of a file of {len(data)}")
    kind, checksum = struct.unpack_from("<BI", data, end)
    if kind:
        raise DamageError(f"a block is compressed ({'snappy' if kind == 1 else f'type {kind}'})")
    if masked_crc(data[offset : end + 1]) != checksum:
        raise DamageError(f"the block at byte {offset} does not match its checksum, the file is damaged")
    if size < 4:
        raise DamageError(f"a block has {size} bytes")
    restarts = struct.unpack_from("<I", data, end - 4)[0]
    stop = size - 4 - 4 * restarts
    if stop < 0:
        raise DamageError(f"a block of {size} bytes has {restarts} restarts")
    restart_at = set(struct.unpack_from(f"<{restarts}I", data, offset + stop))
    block = data[offset : offset + stop]
    key, at = b"", 0
    while at < stop:
        start = at
        shared, at = read_varint(block, at)
        unshared, at = read_varint(block, at)
        length, at = read_varint(block, at)
        if shared > len(key) or (shared and start in restart_at) or at + unshared + length > stop:
            raise DamageError(f"the entry at byte {start} of a block has lengths {shared}, {unshared} and {length}")
        if shared + unshared > _LONGEST_NAME:
            raise DamageError(f"a key has {shared + unshared} bytes, more than {_LONGEST_NAME}")
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length
