"""Diagnosis of the installation: packages, extras, data and programs, and how to get what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

State = Literal["ok", "missing", "old"]

_DISTRIBUTION = "mlimages"
_CORE = ""  # the extra under which required packages are listed
#: Extras for the development of mlimages.
DEVELOPERS = ("docs", "lint", "notebooks", "test")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Parameters
    ----------
    section : str
        Heading: ``system``, ``packages``, ``extras``, ``data``, ``programs``.
    name : str
        Name of the package, extra, file or program.
    state : {"ok", "missing", "old"}
        Whether it is present and new enough.
    detail : str
        Its version, path or purpose.
    fix : str
        The command that gets it; empty if nothing is missing.
    needed : bool
        Whether mlimages does not work without it.
    """

    section: str
    name: str
    state: State
    detail: str
    fix: str = ""
    needed: bool = False


def diagnose() -> list[Finding]:
    """Check Python, the packages, the extras, the data and the programs.

    Nothing is downloaded or written. If torch is installed it is imported, to detect GPUs, which takes seconds.

    Returns
    -------
    list of Finding
        The results, by section.

    Examples
    --------
    >>> [each.name for each in diagnose() if each.section == "data"]
    ['WordNet 3.0 nouns', 'ml-images', 'official files']
    """
    wanted = requirements()
    return [*_system(), *_packages(wanted), *_extras(wanted), *_data(), *_programs()]


def healthy(findings: list[Finding]) -> bool:
    """Whether everything needed is present."""
    return all(each.state == "ok" for each in findings if each.needed)


def requirements() -> dict[str, list[Requirement]]:
    """The requirements of mlimages by extra; those of the core are under ``""``.

    Read from the metadata of the installed package or, if it runs from its source folder, from ``setup.cfg``.
    """
    wanted: dict[str, list[Requirement]] = {_CORE: []}
    for text, extra in _declared():
        wanted.setdefault(extra, []).append(Requirement(text))
    return {extra: _without_own(extra, wanted) for extra in wanted}


def _declared() -> Iterator[tuple[str, str]]:
    """Yield each requirement and its extra."""
    try:
        lines = requires(_DISTRIBUTION)
    except PackageNotFoundError:
        lines = None
    if lines is not None:
        for line in lines:
            text, _, marker = line.partition(";")
            extra = re.search(r"""extra\s*==\s*["']([\w-]+)["']""", marker)
            yield text.strip(), extra[1] if extra else _CORE
        return
    config = ConfigParser()
    config.read(Path(__file__).parents[1] / "setup.cfg", encoding="utf-8")
    blocks = {_CORE: config.get("options", "install_requires", fallback="")}
    if config.has_section("options.extras_require"):
        blocks.update(config.items("options.extras_require"))
    for name, block in blocks.items():
        for line in block.split("\n"):
            if line.strip():
                yield line.strip(), name


def _without_own(extra: str, wanted: dict[str, list[Requirement]]) -> list[Requirement]:
    """The requirements of an extra, with those of the extras of mlimages that it includes."""
    found: dict[str, Requirement] = {}
    for each in wanted.get(extra, []):
        inner = [each]
        if each.name == _DISTRIBUTION:
            inner = [one for name in sorted(each.extras) for one in _without_own(name, wanted)]
        found.update({one.name.lower(): one for one in inner})
    return [found[name] for name in sorted(found)]


def _system() -> Iterator[Finding]:
    from mlimages import __version__

    place = Path(__file__).parent
    try:
        version(_DISTRIBUTION)
        yield Finding("system", "mlimages", "ok", f"{__version__} in {place}")
    except PackageNotFoundError:
        fix = f"pip install --editable {place.parent}"
        yield Finding("system", "mlimages", "missing", f"{__version__} runs from {place}, not installed", fix)
    yield Finding("system", "Python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield Finding("system", "machine", "ok", f"{platform.machine()}, {platform.system()} {platform.release()}")
    yield Finding("system", "processors", "ok", str(len(os.sched_getaffinity(0))))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Finding("system", "memory", "ok", f"{memory:.1f} GiB")
    yield _kernel_cache()
    if importlib.util.find_spec("torch") is not None:
        yield _devices()


def _kernel_cache() -> Finding:
    """Whether numba can write its cache; if not, every process compiles for some seconds."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).parent / "annotate")
    if os.access(folder if folder.exists() else folder.parent, os.W_OK):
        return Finding("system", "kernel cache", "ok", str(folder))
    return Finding(
        "system",
        "kernel cache",
        "missing",
        f"{folder} is not writable: kernels may compile anew in every process",
        "export NUMBA_CACHE_DIR=~/.cache/mlimages/numba",
    )


def _devices() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("system", "GPU", "ok", "none that torch can use: networks run on the processor")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("system", "GPU", "ok", ", ".join(names))


def _packages(wanted: dict[str, list[Requirement]]) -> Iterator[Finding]:
    for each in wanted[_CORE]:
        state, found = _installed(each)
        fix = "" if state == "ok" else f'pip install "{each.name}{each.specifier}"'
        yield Finding("packages", each.name, state, found, fix, needed=True)


def _extras(wanted: dict[str, list[Requirement]]) -> Iterator[Finding]:
    for extra in sorted(set(wanted) - {_CORE}):
        states = [(each, *_installed(each)) for each in wanted[extra]]
        absent = [each.name for each, state, _ in states if state == "missing"]
        wrong = ["not installed: " + ", ".join(absent)] if absent else []
        wrong += [f"{each.name} {found}" for each, state, found in states if state == "old"]
        if not wrong:
            detail = ", ".join(f"{each.name} {found}" for each, _, found in states)
            yield Finding("extras", extra, "ok", detail)
            continue
        state: State = "missing" if absent else "old"
        whom = "for developers of mlimages; " if extra in DEVELOPERS else ""
        yield Finding("extras", extra, state, whom + "; ".join(wrong), f'pip install "mlimages[{extra}]"')


def _installed(requirement: Requirement) -> tuple[State, str]:
    """The state of a requirement, and its version or what is wrong with it."""
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return "missing", "not installed"
    if requirement.specifier.contains(found, prereleases=True):
        return "ok", found
    return "old", f"{found}, expected {requirement.specifier}"


def _data() -> Iterator[Finding]:
    from mlimages.hierarchy.load import DATA_VARIABLE, DICTIONARY_FILE, DICTIONARY_URL
    from mlimages.hierarchy.wordnet.taxonomy import taxonomy

    yield Finding("data", "WordNet 3.0 nouns", "ok", f"embedded, {len(taxonomy()):,} synsets")
    folder = os.environ.get(DATA_VARIABLE)
    dictionary = _dictionary()
    if dictionary is None:
        get = f"curl -LO --create-dirs --output-dir ml-images {DICTIONARY_URL} && export {DATA_VARIABLE}=$PWD/ml-images"
        detail = f"{DICTIONARY_FILE} is in neither ${DATA_VARIABLE} nor the cache; it is fetched on first use"
        yield Finding("data", "ml-images", "missing", detail, get)
    else:
        yield Finding("data", "ml-images", "ok", str(dictionary))
    if folder is None:
        detail = f"${DATA_VARIABLE} is not set; the label lists of ML-Images are not needed to use mlimages"
        yield Finding("data", "official files", "missing", detail, f"export {DATA_VARIABLE}=FOLDER")
    elif not Path(folder).is_dir():
        detail = f"${DATA_VARIABLE} names {folder}, which is no folder"
        yield Finding("data", "official files", "missing", detail, f"export {DATA_VARIABLE}=FOLDER")
    else:
        names = sorted(path.name for path in Path(folder).iterdir())
        yield Finding("data", "official files", "ok", f"{folder}: {', '.join(names) or 'empty'}")


def _dictionary() -> Path | None:
    """The published dictionary, if it is on this machine; nothing is downloaded."""
    from mlimages.hierarchy.load import DATA_VARIABLE, DICTIONARY_FILE

    folder = os.environ.get(DATA_VARIABLE)
    if folder and (Path(folder) / DICTIONARY_FILE).is_file():
        return Path(folder) / DICTIONARY_FILE
    if importlib.util.find_spec("pooch") is None:
        return None
    import pooch

    cached = Path(pooch.os_cache("mlimages")) / DICTIONARY_FILE
    return cached if cached.is_file() else None


def _programs() -> Iterator[Finding]:
    known = {
        "chromium": ("tests of the explorer in a browser", "apt-get install chromium"),
        "torchrun": ("training on several devices", 'pip install "mlimages[train]"'),
    }
    for name, (purpose, fix) in known.items():
        place = shutil.which(name)
        if place:
            yield Finding("programs", name, "ok", place)
        else:
            yield Finding("programs", name, "missing", f"for {purpose}", fix)
