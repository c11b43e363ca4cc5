"""Co-occurrence counts on disk: one Parquet file of coordinates, or an ``.npz`` that scipy reads."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse
from numpy.typing import NDArray

from mlimages.errors import FormatError, MlimagesError, TableError, first_line
from mlimages.hierarchy import Hierarchy
from mlimages.storage.checks import Columns, Damage
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
    """Write counts into one file, whose format the name of the `path` says."""
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
        For a file that is none of these, or of a newer version.
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
        images, target_images = (np.array(metadata[name], np.int64) for name in ("images", "target_images"))
        if not matrix.shape == (len(sources), len(targets)) == (*images.shape, *target_images.shape):
            raise IndexError(f"found counts of {matrix.shape}, expected {len(sources)} sources, {len(targets)} targets")
        if (matrix.data > np.repeat(images, np.diff(matrix.indptr))).any():
            raise ValueError("found more images of a pair than of its source")
        return StoredCounts(
            sources,
            targets,
            matrix,
            images,
            target_images,
            int(metadata["total"]),
            float(metadata["teacher_threshold"]),
            (int(metadata["unmatched"][0]), int(metadata["unmatched"][1])),
        )
    except MlimagesError:
        raise
    except (KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise FormatError(f"no co-occurrence counts ({type(error).__name__}: {error})", path=path) from None


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
    if _fingerprint(stored["keys"]) != stored["fingerprint"]:
        raise FormatError(
            "the keys of an axis do not have the fingerprint beside them: the file was changed", path=path
        )
    return np.asarray(hierarchy.index(stored["keys"]), np.int32).reshape(-1)


def _read_npz(path: Path) -> tuple[dict[str, Any], scipy.sparse.csr_array]:
    data = path.read_bytes()  # what fails from here on is the content's fault
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            metadata = json.loads(str(stored["mlimages"]))
        matrix = scipy.sparse.csr_array(scipy.sparse.load_npz(io.BytesIO(data)))
        matrix.check_format(full_check=True)  # scipy's compiled code trusts the indices
    except Exception as error:  # zipfile, zlib, numpy and scipy raise ten kinds for a damaged archive
        raise FormatError(f"no co-occurrence counts ({' '.join(str(error).split())})", path=path) from None
    if not np.issubdtype(matrix.dtype, np.integer) or (len(matrix.data) and matrix.data.min() < 0):
        raise FormatError("no co-occurrence counts (found other numbers than 0, 1, 2, ... in it)", path=path)
    return metadata, matrix


def _read_parquet(path: Path) -> tuple[dict[str, Any], pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
        metadata = (table.schema.metadata or {}).get(METADATA_KEY)
        columns = Columns(COO_SCHEMA, None, dict.fromkeys(COO_SCHEMA.names, np.iinfo(np.int64).max))
        if metadata is None:
            columns.check_names(table.schema)
            raise Damage(f"found the columns {', '.join(table.column_names)} without what they were counted from")
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
        inverse = np.full(n, -1, np.int32)
        inverse[axis] = np.arange(len(axis), dtype=np.int32)
        places.append(inverse[table.column(name).to_numpy()])
        if len(table) and places[-1].min() < 0:
            raise IndexError(f"found a {name} that is none of the {len(axis)} that were counted")
    counts = table.column("count").to_numpy()
    return scipy.sparse.csr_array((counts, (places[0], places[1])), shape=(len(sources), len(targets)))
