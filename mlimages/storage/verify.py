"""Whether a table on disk agrees with its manifest."""

from __future__ import annotations

import os
from pathlib import Path

from mlimages.storage.categories import problems_of_categories
from mlimages.storage.files import file_hash
from mlimages.storage.manifest import MANIFEST, Manifest, stated_rules


def verify_parts(folder: str | os.PathLike[str]) -> list[str]:
    """Differences between a table and its manifest: one line per missing, surplus or changed part; empty if none."""
    manifest = Manifest.read(folder)
    folder = Path(folder)
    problems = problems_of_categories(folder, manifest)
    files: list[tuple[str, int | None, str]] = [(part.file, part.bytes, part.xxh3_128) for part in manifest.parts]
    rules = stated_rules(manifest, folder / MANIFEST)
    if rules is not None:
        files.append((rules["file"], None, rules["xxh3_128"]))
    for name, size, xxh3_128 in files:
        path = folder / name
        if not path.is_file():
            problems.append(f"{path}: missing")
        elif size not in (None, path.stat().st_size):
            problems.append(f"{path}: found {path.stat().st_size} bytes, expected {size}")
        elif file_hash(path) != xxh3_128:
            problems.append(f"{path}: the content was changed: its xxh3-128 hash is not {xxh3_128}")
    known = {part.file for part in manifest.parts}
    surplus = sorted(path for path in folder.glob("part-*.parquet") if path.name not in known)
    return problems + [f"{path}: not in the manifest" for path in surplus]
