"""Writes TensorFlow V2 checkpoints, sound ones and others, so that the reader can be tested on all kinds."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np

NUMBERS = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "complex64": 8, "int64": 9, "bool": 10,
    "uint16": 17, "complex128": 18, "float16": 19, "uint32": 22, "uint64": 23,
}  # fmt: skip
BFLOAT16, STRING = 14, 7


@dataclass
class Raw:
    """A variable whose entry is written as told, whether it makes sense or not."""

    data: bytes
    dtype: int
    shape: tuple[int, ...]
    sliced: bool = False


def bfloat16(values) -> Raw:
    values = np.asarray(values, np.float32)
    return Raw((values.view(np.uint32) >> 16).astype("<u2").tobytes(), BFLOAT16, values.shape)


def write_bundle(prefix: Path, variables, *, shards=1, block_size=4096, restart_interval=16, header=None) -> None:
    """Variables go to the shards in turn; small blocks make an index of several."""
    data = [bytearray() for _ in range(shards)]
    pairs = [(b"", header if header is not None else field(1, shards) + field(3, field(1, 1)))]
    for number, (name, values) in enumerate(sorted(variables.items(), key=lambda pair: pair[0].encode())):
        raw = values if isinstance(values, Raw) else Raw(values.tobytes(), NUMBERS[values.dtype.name], values.shape)
        shard = number % shards
        pairs.append((name.encode(), entry(raw, shard, len(data[shard]))))
        data[shard] += raw.data
    for shard, content in enumerate(data):
        Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}").write_bytes(content)
    Path(f"{prefix}.index").write_bytes(table(pairs, block_size=block_size, restart_interval=restart_interval))


def entry(raw: Raw, shard: int, offset: int) -> bytes:
    shape = b"".join(field(2, field(1, size)) for size in raw.shape)
    message = field(1, raw.dtype) + field(2, shape) + field(3, shard) + field(4, offset) + field(5, len(raw.data))
    message += varint(6 << 3 | 5) + struct.pack("<I", masked(raw.data))
    return message + (field(7, field(1, 0)) if raw.sliced else b"")


def table(pairs, *, block_size=4096, restart_interval=16, compression=0) -> bytes:
    out, handles, block = bytearray(), [], []

    def flush(last):
        handles.append((last, append(out, block_bytes(block, restart_interval), compression)))
        block.clear()

    for key, value in pairs:
        block.append((key, value))
        if sum(len(key) + len(value) for key, value in block) >= block_size:
            flush(key)
    if block:
        flush(block[-1][0])
    meta = append(out, block_bytes([], restart_interval), 0)
    footer = meta + append(out, block_bytes(handles, 1), 0)
    return bytes(out) + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def block_bytes(pairs, restart_interval) -> bytes:
    out, restarts, last = bytearray(), [0], b""
    for number, (key, value) in enumerate(pairs):
        shared = 0
        if number % restart_interval == 0:
            restarts += [len(out)] if number else []
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return bytes(out) + b"".join(struct.pack("<I", each) for each in restarts) + struct.pack("<I", len(restarts))


def append(out: bytearray, block: bytes, compression: int) -> bytes:
    handle = varint(len(out)) + varint(len(block))
    block += bytes([compression])
    out += block + struct.pack("<I", masked(block))
    return handle


def masked(data: bytes) -> int:
    crc = google_crc32c.value(bytes(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value & 0xFFFFFFFFFFFFFFFF)


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])
