"""The columns of an annotation table, declared once for reader, writer and documentation."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any

import pyarrow as pa

from mlimages.hierarchy import Hierarchy
from mlimages.storage.manifest import FORMAT_VERSION

#: From this many categories up an index no longer fits into 16 bits.
INT32_FROM = 32_768


class Origin(IntEnum):
    """Why a label is there."""

    GIVEN = 0
    ANCESTOR = 1
    COOCCURRENCE = 2
    DESCENDANT = 3  #: of a verified absence
    TEACHER = 4


def label_type(categories: int) -> pa.DataType:
    """Arrow type of a label among `categories` categories: int16, or int32 from 32,768 up."""
    return pa.int16() if categories < INT32_FROM else pa.int32()


@cache
def table_schema(categories: int) -> pa.Schema:
    """Columns of an annotation table.

    ===========  =====================  ============================================================
    image        string                 file name, ImageNet id or URL
    labels       list<int16 or int32>   category indices
    confidences  list<float32>          as long; above 0 to 1: present, 0: verified absent
    origins      list<uint8>            as long; an :class:`Origin`
    ===========  =====================  ============================================================
    """
    labels, confidences, origins = map(pa.list_, (label_type(categories), pa.float32(), pa.uint8()))
    return pa.schema({"image": pa.string(), "labels": labels, "confidences": confidences, "origins": origins})


#: Given labels: like a table, with int32 indices and without origins.
GIVEN_SCHEMA = pa.schema({"image": pa.string(), "labels": pa.list_(pa.int32()), "confidences": pa.list_(pa.float32())})


def table_metadata(
    hierarchy: Hierarchy, propagation: dict[str, Any], rules: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The metadata of a table, in its manifest and in the schema of every part; `rules` only where there are any."""
    return {
        **made_with(hierarchy),
        "propagation": propagation,
        **({"rules": rules} if rules is not None else {}),
    }


def made_with(hierarchy: Hierarchy) -> dict[str, Any]:
    """The first entries of the metadata of every table of labels."""
    from mlimages import __version__

    return {
        "format_version": FORMAT_VERSION,
        "mlimages_version": __version__,
        "hierarchy_fingerprint": hierarchy.fingerprint,
        "categories": len(hierarchy),
    }
