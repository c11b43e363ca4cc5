"""TensorFlow checkpoints: what TensorFlow wrote, every kind of variable, and damage of every kind."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlimages.errors import DataNotFoundError, FormatError
from mlimages.models import TensorFlowCheckpoint
from tests.models.bundle_writer import NUMBERS, STRING, Raw, bfloat16, field, masked, table, varint, write_bundle

TINY = Path(__file__).parent / "data" / "tiny" / "model.ckpt"


def read_all(prefix):
    checkpoint = TensorFlowCheckpoint(prefix)
    return {name: checkpoint[name] for name in checkpoint}


@pytest.fixture
def prefix(tmp_path):
    return tmp_path / "model.ckpt"


def test_variables_of_a_checkpoint_that_tensorflow_wrote():
    values = read_all(TINY)
    assert len(values) == 20 + 4 * 20 + 2 + 4  # convolutions, batch norms, dense layer, bookkeeping
    assert values["global_step"] == np.int64(1234)
    assert values["global_step"].dtype == np.int64
    assert values["init/init_conv/conv2d/kernel"].shape == (7, 7, 3, 4)
    assert values["Variable_1"].tolist() == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_values_come_back_for_every_data_type(prefix, dtype):
    values = np.arange(6).reshape(2, 3).astype(dtype)
    write_bundle(prefix, {"v": values})
    found = read_all(prefix)["v"]
    assert found.dtype == values.dtype
    assert found.tolist() == values.tolist()


def test_bfloat16_comes_out_as_float32(prefix):
    write_bundle(prefix, {"v": bfloat16([[1.5, -2.0], [np.inf, 3.140625]])})
    found = read_all(prefix)["v"]
    assert found.dtype == np.float32
    assert found.tolist() == [[1.5, -2.0], [np.inf, 3.140625]]


def test_scalars_and_empty_tensors(prefix):
    write_bundle(prefix, {"scalar": np.float32(2.5), "empty": np.zeros((0, 3), np.float32)})
    values = read_all(prefix)
    assert values["scalar"].shape == ()
    assert values["scalar"] == 2.5
    assert values["empty"].shape == (0, 3)


def test_several_shards_and_blocks(prefix):
    variables = {f"stage_{i // 10}/block_{i}/kernel": np.full((i % 4, 2), i, np.float32) for i in range(200)}
    write_bundle(prefix, variables, shards=3, block_size=300, restart_interval=4)
    values = read_all(prefix)
    assert list(values) == sorted(variables)
    assert all(np.array_equal(values[name], variables[name]) for name in variables)


def test_variables_are_read_one_at_a_time(prefix):
    write_bundle(prefix, {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}, shards=2)
    Path(f"{prefix}.data-00001-of-00002").unlink()
    checkpoint = TensorFlowCheckpoint(prefix)
    assert checkpoint["a"].tolist() == [1, 1]
    with pytest.raises(DataNotFoundError, match="data-00001-of-00002: no such file; it holds the variable 'b'"):
        checkpoint["b"]
    assert "b" in checkpoint
    assert len(checkpoint) == 2


def test_missing_index_is_told(prefix):
    with pytest.raises(DataNotFoundError, match=r"model\.ckpt\.index: no such file; expected a TensorFlow V2"):
        TensorFlowCheckpoint(prefix)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (Raw(b"\1\3ab", STRING, (1,)), "'v' holds strings; only numbers"),
        (Raw(b"", 1, (2, 3), sliced=True), "'v' is stored in slices; save it unpartitioned"),
        (Raw(b"", 20, ()), "'v' has the data type 20; expected one of"),
        (Raw(bytes(8), 1, (3,)), r"'v' has the shape \[3\] of 4-byte elements but 8 bytes"),
    ],
)
def test_variable_that_cannot_be_read_leaves_the_others(prefix, variable, message):
    write_bundle(prefix, {"u": np.ones(1, np.float32), "v": variable})
    checkpoint = TensorFlowCheckpoint(prefix)
    assert checkpoint["u"].tolist() == [1]
    with pytest.raises(FormatError, match=message):
        checkpoint["v"]


def test_slices_of_sliced_variables_are_no_variables(prefix):
    write_bundle(prefix, {"\0slice": np.ones(1, np.float32), "v": np.ones(1, np.float32)})
    assert list(TensorFlowCheckpoint(prefix)) == ["v"]


def test_damaged_data_do_not_match_their_checksum(prefix):
    write_bundle(prefix, {"v": np.ones(4, np.float32)})
    shard = Path(f"{prefix}.data-00000-of-00001")
    content = bytearray(shard.read_bytes())
    content[5] ^= 1
    shard.write_bytes(content)
    with pytest.raises(FormatError, match="00000-of-00001: variable 'v': its bytes do not match their checksum"):
        TensorFlowCheckpoint(prefix)["v"]


def test_data_cut_short_are_told_before_they_are_read(prefix):
    write_bundle(prefix, {"v": np.ones(4, np.float32)})
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.write_bytes(shard.read_bytes()[:15])
    with pytest.raises(FormatError, match="'v' is at bytes 0 to 16, but the file has 15"):
        TensorFlowCheckpoint(prefix)["v"]


HEADER = (b"", field(1, 1))
ONE = field(1, 1) + field(5, 4)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b"", "the file has 0 bytes, fewer than a table's footer"),
        (bytes(48), "the last eight bytes are 0000000000000000, not a table's magic"),
        (table([HEADER], compression=1), r"a block is compressed \(snappy\)"),
        (table([(b"v", ONE)]), "the first key is not the empty one of the header"),
        (table([]), "there is no header"),
        (table([(b"", field(1, 1) + field(2, 1))]), "the data are big-endian"),
        (table([(b"", field(1, 100_000))]), "the header counts 100000 shards"),
        (table([(b"", field(1, b"x"))]), "bytes where a number belongs"),
        (table([HEADER, (b"v", field(2, 7))]), "a number where a message belongs"),
        (table([HEADER, (b"v", ONE), (b"v", ONE)]), "the key b'v' does not come after b'v'"),
        (table([HEADER, (b"\xff", ONE)]), "is not UTF-8"),
        (table([HEADER, (b"v", field(3, 1))]), "shard 1 of 1"),
        (table([HEADER, (b"v", field(4, -1))]), "offset -1"),
        (table([HEADER, (b"v", field(5, -1))]), "size -1"),
        (table([HEADER, (b"v", field(2, field(2, field(1, -1))))]), r"shape \[-1\]"),
        (table([HEADER, (b"v", field(2, field(2, field(1, 0)) + field(2, field(1, 1 << 60))))]), "has shape"),
        (table([HEADER, (b"v", field(2, field(2, field(1, 1)) * 40))]), "has shape"),
        (table([HEADER, (b"v", b"\x0b")]), "wire type 3"),
        (table([HEADER, (b"v", b"\x0a\x05a")]), "a message ends within a field"),
        (table([HEADER, (b"v", b"\x0d\x01")]), "a message ends within a field"),
        (table([HEADER, (b"v", b"\x08" + b"\xff" * 11)]), "a variable-length integer does not end"),
        (table([HEADER, (b"v" * 5000, ONE)]), "a key has 5000 bytes"),
    ],
)
def test_index_that_is_not_one_is_refused(prefix, index, message):
    Path(f"{prefix}.index").write_bytes(index)
    with pytest.raises(FormatError, match=message) as caught:
        TensorFlowCheckpoint(prefix)
    assert "expected the index of a TensorFlow V2 checkpoint" in str(caught.value)


def test_block_that_is_listed_twice_is_refused(prefix):
    empty = struct.pack("<II", 0, 1)
    empty += b"\0" + struct.pack("<I", masked(empty + b"\0"))
    handle = varint(0) + varint(8)
    entries = b"".join(varint(0) + varint(1) + varint(len(handle)) + key + handle for key in (b"a", b"b"))
    index = entries + struct.pack("<II", 0, 1)
    where = varint(len(empty)) + varint(len(index))
    index += b"\0" + struct.pack("<I", masked(index + b"\0"))
    footer = (handle + where).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    Path(f"{prefix}.index").write_bytes(empty + index + footer)
    with pytest.raises(FormatError, match="the block at byte 0 begins within the one before"):
        TensorFlowCheckpoint(prefix)


def resealed(index: bytes, at: int, value: int) -> bytes:
    """One byte of the first block changed, and its checksum made good, so that what is inside is read."""
    changed = bytearray(index)
    changed[at % len(index)] = value
    end = FIRST_BLOCK
    changed[end + 1 : end + 5] = struct.pack("<I", masked(bytes(changed[: end + 1])))
    return bytes(changed)


WHOLE = Path(f"{TINY}.index").read_bytes()
FIRST_BLOCK = next(
    end for end in range(4, len(WHOLE)) if WHOLE[end + 1 : end + 5] == struct.pack("<I", masked(WHOLE[: end + 1]))
)


@settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, FIRST_BLOCK), value=st.integers(0, 255), seal=st.booleans(), cut=st.none() | st.integers(0, 5000)
)
def test_mutated_index_gives_values_or_a_format_error(tmp_path, at, value, seal, cut):
    index = resealed(WHOLE, at, value) if seal else WHOLE[:at] + bytes([value]) + WHOLE[at + 1 :]
    read_mutated(tmp_path, index[:cut])


@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.binary(max_size=60), key=st.binary(max_size=20))
def test_arbitrary_messages_give_values_or_a_format_error(tmp_path, message, key):
    read_mutated(tmp_path, table([HEADER, (b"\1" + key, message)]))
    read_mutated(tmp_path, table([(b"", message), (b"\1" + key, ONE)]))


@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(block=st.binary(max_size=80))
def test_arbitrary_blocks_give_values_or_a_format_error(tmp_path, block):
    where = varint(0) + varint(len(block))
    sealed = block + b"\0" + struct.pack("<I", masked(block + b"\0"))
    handles = varint(0) + varint(1) + varint(len(where)) + b"z" + where + struct.pack("<II", 0, 1)
    for content, at in ((sealed, where), (sealed + handles + b"\0" + struct.pack("<I", masked(handles + b"\0")), None)):
        at = at or varint(len(sealed)) + varint(len(handles))
        read_mutated(tmp_path, content + (b"\0\0" + at).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57))


def read_mutated(folder, index):
    prefix = folder / "mutated"
    Path(f"{prefix}.index").write_bytes(index)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(Path(f"{TINY}.data-00000-of-00001").read_bytes())
    try:
        checkpoint = TensorFlowCheckpoint(prefix)
    except FormatError:
        return
    for name in checkpoint:
        try:
            assert checkpoint[name].nbytes <= 2 * checkpoint.variables[name].size
        except (FormatError, DataNotFoundError):
            continue
