"""Co-occurrence counts on disk: one Parquet file of coordinates, or an ``.npz`` that scipy reads."""

from __future__ import annotations

import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse
from numpy.typing import NDArray

from mlimages.errors import FormatError, MlimagesError, TableError, first_line, listed
from mlimages.hierarchy import Hierarchy
from mlimages.storage.checks import Columns
from mlimages.storage.column import Damage
from mlimages.storage.files import replacing
from mlimages.storage.manifest import METADATA_KEY

#: Version of the files; a reader refuses a greater one.
COOCCURRENCE_VERSION = 1

#: Columns of the Parquet file: category indices, and images that have both.
COO_SCHEMA = pa.schema([pa.field("source", pa.int32()), pa.field("target", pa.int32()), pa.field("count", pa.int64())])


class StoredCounts(NamedTuple):
    """What a file holds besides the hierarchy; the fields are those of :class:`.counts.Cooccurrence`."""

    sources: NDArray[np.int32]  # [m]
    targets: NDArray[np.int32]  # [k]
    counts: scipy.sparse.csr_array  # int64 [m, k]
    images: NDArray[np.int64]  # [m]
    target_images: NDArray[np.int64]  # [k]
    total: int
    teacher_threshold: float
    unmatched: tuple[int, int]


def write_counts(stored: StoredCounts, path: Path, hierarchy: Hierarchy) -> None:
    """Write counts into one file, in the format given by the suffix of the `path`."""
    metadata = json.dumps(_metadata(stored, hierarchy), sort_keys=True)
    with replacing(path) as file:
        if path.suffix == ".npz":
            matrix = stored.counts.tocsr()
            np.savez_compressed(
                file,
                allow_pickle=False,
                format=np.array(b"csr"),
                shape=np.array(matrix.shape),
                data=matrix.data,
                indices=matrix.indices,
                indptr=matrix.indptr,
                _is_array=np.array(True),
                mlimages=np.array(metadata),
            )
        else:
            coo = stored.counts.tocoo()
            rows, columns = coo.coords
            arrays = [stored.sources[rows], stored.targets[columns], coo.data]
            table = pa.table([pa.array(each) for each in arrays], schema=COO_SCHEMA)
            table = table.replace_schema_metadata({METADATA_KEY: metadata})
            pq.write_table(table, file, compression="zstd")


def read_counts(path: Path, hierarchy: Hierarchy) -> StoredCounts:
    """Read counts that :func:`write_counts` wrote.

    Raises
    ------
    FormatError
        For a file of another format, or of a newer version.
    TableError
        For another hierarchy.
    """
    metadata, matrix = _read_npz(path) if path.suffix == ".npz" else _read_parquet(path)
    try:
        if metadata["cooccurrence_version"] > COOCCURRENCE_VERSION:
            raise FormatError(
                f"found version {metadata['cooccurrence_version']}, and this mlimages reads up to "
                f"{COOCCURRENCE_VERSION}: upgrade it",
                path=path,
            )
        if metadata["hierarchy_fingerprint"] != hierarchy.fingerprint:
            raise TableError(
                f"{path}: counted with the hierarchy {metadata['hierarchy_fingerprint'][:12]}... and read with "
                f"{hierarchy.fingerprint[:12]}...: name the one it was counted with"
            )
        sources, targets = (_axis(metadata[name], hierarchy, path) for name in ("sources", "targets"))
        if isinstance(matrix, pa.Table):
            matrix = _matrix(matrix, sources, targets, len(hierarchy))
        images, target_images = (np.array(_numbers(metadata, name), np.int64) for name in ("images", "target_images"))
        unmatched, unmatched_predictions = _numbers(metadata, "unmatched")
        stored = StoredCounts(
            sources,
            targets,
            matrix,
            images,
            target_images,
            metadata["total"],
            metadata["teacher_threshold"],
            (unmatched, unmatched_predictions),
        )
        _check(stored)
        return stored._replace(teacher_threshold=float(stored.teacher_threshold))
    except MlimagesError:
        raise
    except (KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise FormatError(f"no co-occurrence counts ({type(error).__name__}: {error})", path=path) from None


def _numbers(metadata: dict[str, Any], name: str) -> list[int]:
    """A list of counts of images."""
    found = metadata[name]
    if not isinstance(found, list) or not all(type(each) is int and 0 <= each < 1 << 63 for each in found):
        raise ValueError(f"found {name} {str(found)[:40]}, expected a list of numbers 0, 1, 2, ...")
    return found


def _check(stored: StoredCounts) -> None:
    """Raise a ValueError if the numbers are inconsistent."""
    axes = len(stored.sources), len(stored.targets)
    if not stored.counts.shape == axes == (len(stored.images), len(stored.target_images)):
        raise ValueError(f"found counts of {stored.counts.shape}, expected {axes[0]} sources, {axes[1]} targets")
    if not stored.counts.has_canonical_format:
        raise ValueError("found a pair of source and target twice")
    if (stored.counts.data > np.repeat(stored.images, np.diff(stored.counts.indptr))).any():
        raise ValueError("found more images of a pair than of its source")
    most = max(stored.images.max(initial=0), stored.target_images.max(initial=0))
    if type(stored.total) is not int or not most <= stored.total < 1 << 63:
        raise ValueError(f"found a total of {stored.total!r} images, expected {most} or more: one category has as many")
    if type(stored.teacher_threshold) not in (int, float) or not math.isfinite(stored.teacher_threshold):
        raise ValueError(f"found the teacher_threshold {stored.teacher_threshold!r}, expected a number")


def _metadata(stored: StoredCounts, hierarchy: Hierarchy) -> dict[str, Any]:
    from mlimages import __version__

    keys = hierarchy.keys
    axes = {
        name: [keys[i] for i in axis.tolist()]
        for name, axis in (("sources", stored.sources), ("targets", stored.targets))
    }
    return {
        "cooccurrence_version": COOCCURRENCE_VERSION,
        "mlimages_version": __version__,
        "hierarchy_fingerprint": hierarchy.fingerprint,
        **{name: {"keys": axis, "fingerprint": _fingerprint(axis)} for name, axis in axes.items()},
        "images": stored.images.tolist(),
        "target_images": stored.target_images.tolist(),
        "total": stored.total,
        "teacher_threshold": stored.teacher_threshold,
        "unmatched": list(stored.unmatched),
    }


def _fingerprint(keys: list[str]) -> str:
    """SHA-256, in hexadecimal, of the keys in their order, each ended by a line feed."""
    return hashlib.sha256("".join(f"{key}\n" for key in keys).encode()).hexdigest()


def _axis(stored: dict[str, Any], hierarchy: Hierarchy, path: Path) -> NDArray[np.int32]:
    keys = stored["keys"]
    if _fingerprint(keys) != stored["fingerprint"]:
        raise FormatError(
            "the keys of an axis do not have the fingerprint beside them: the file was changed", path=path
        )
    unknown = [key for key in keys if not isinstance(key, str) or key not in hierarchy]
    if unknown or len(set(keys)) < len(keys):
        raise ValueError(f"found the keys {', '.join(map(repr, keys))[:80]}, expected categories, each once")
    return np.asarray(hierarchy.index(keys), np.int32).reshape(-1)


def _read_npz(path: Path) -> tuple[dict[str, Any], scipy.sparse.csr_array]:
    data = path.read_bytes()  # what fails from here on is the content's fault
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            metadata = json.loads(str(stored["mlimages"]))
            if stored["format"].item() != b"csr":
                raise ValueError(f"found the format {stored['format']}, expected csr")
            arrays = {name: stored[name] for name in ("data", "indices", "indptr", "shape")}
        for name, array in arrays.items():
            if array.ndim != 1 or array.dtype.kind not in "iu":
                raise ValueError(f"found {name} of {array.dtype}, expected a row of whole numbers")
        shape = tuple(arrays.pop("shape").tolist())
        matrix = scipy.sparse.csr_array(tuple(arrays.values()), shape=shape)
        matrix.check_format(full_check=True)  # scipy's compiled code trusts the indices
        if len(matrix.data) and matrix.data.min() < 0:
            raise ValueError("found a negative number of images")
        matrix.sort_indices()
        return metadata, matrix.astype(np.int64)
    except Exception as error:  # zipfile, zlib and numpy raise ten kinds for a damaged archive
        raise FormatError(
            f"no co-occurrence counts ({type(error).__name__}: {' '.join(str(error).split())})", path=path
        ) from None


def _read_parquet(path: Path) -> tuple[dict[str, Any], pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
        metadata = (table.schema.metadata or {}).get(METADATA_KEY)
        columns = Columns(COO_SCHEMA, None, dict.fromkeys(COO_SCHEMA.names, np.iinfo(np.int64).max))
        if metadata is None:
            columns.check_names(table.schema)
            raise Damage(f"found the columns {listed(table.column_names)} without what they were counted from")
        batches = [columns.check(batch) for batch in table.to_batches()]
        return json.loads(metadata), pa.Table.from_batches(batches, COO_SCHEMA)
    except Damage as damage:
        where = "" if damage.row is None else f"row {damage.row}: "
        reason = f"{where}{damage.reason}"
    except (pa.ArrowException, UnicodeDecodeError, OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = first_line(error)
    raise FormatError(
        f"no co-occurrence counts ({reason}): expected what mlimages cooccur count wrote", path=path
    ) from None


def _matrix(table: pa.Table, sources: NDArray[np.int32], targets: NDArray[np.int32], n: int) -> scipy.sparse.csr_array:
    places = []
    for name, axis in (("source", sources), ("target", targets)):
        inverse = np.full(n + 1, -1, np.int32)  # the last is where every index falls that is no category
        inverse[axis] = np.arange(len(axis), dtype=np.int32)
        places.append(inverse[np.minimum(table.column(name).to_numpy(), n)])
        if len(table) and places[-1].min() < 0:
            raise IndexError(f"found a {name} that is none of the {len(axis)} that were counted")
    flat = places[0].astype(np.int64) * len(targets) + places[1]
    if len(np.unique(flat)) < len(flat):  # which scipy would sum
        raise ValueError("found a pair of source and target twice")
    counts = table.column("count").to_numpy()
    return scipy.sparse.csr_array((counts, (places[0], places[1])), shape=(len(sources), len(targets)))
