"""TFRecord shards with the published fields: reading, writing and exporting, without TensorFlow."""

from __future__ import annotations

from mlimages.images.tfrecord.records import Record, encode_frame, encode_record, read, read_frames, write

__all__ = ["Record", "encode_frame", "encode_record", "read", "read_frames", "write"]
