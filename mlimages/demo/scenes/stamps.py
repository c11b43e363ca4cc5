"""Photographs of single objects with transparency: the stamps of Debian's ``tuxpaint-stamps-default``.

They are read from the installed package, else from the user's cache, into which apt and dpkg unpack the package
without root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from mlimages.demo.scenes.cutouts import Collection, Companion, Cutout, trimmed
from mlimages.demo.scenes.senses import synset_of_stamps
from mlimages.hierarchy.wordnet.synsets import class_list, close_upwards

PACKAGE = "tuxpaint-stamps-default"
STAMPS = Path("usr") / "share" / "tuxpaint" / "stamps"
#: The command that installs the stamps if the demo cannot fetch them.
APT_LINE = f"sudo apt-get install {PACKAGE}"
_SECONDS = 240  # limit for apt's download of 154 MB

#: Planted co-occurrences; those with a probability below 0.5 must not become rules.
COMPANIONS = (
    Companion("n11669921", beside="n02206856", probability=0.9),  # a flower beside a bee
    Companion("n02391049", beside="n01518878", probability=0.8),  # a zebra beside an ostrich
    Companion("n04409515", beside="n02084071", probability=0.8),  # a tennis ball beside a dog
    Companion("n04536866", beside="n02992211", probability=0.85),  # a violin beside a cello
    Companion("n04254680", beside="n02802426", probability=0.7),  # a soccer ball beside a basketball
    Companion("n07745940", beside="n07753592", probability=0.75),  # a strawberry beside a banana
    Companion("n07873807", beside="n03797390", probability=0.7),  # a pizza beside a mug
    Companion("n02948072", beside="n03590841", probability=0.8),  # a candle beside a jack-o'-lantern
    Companion("n04259630", beside="n03467517", probability=0.65),  # a sombrero beside a guitar
    Companion("n07749582", beside="n04398044", probability=0.35),  # a lemon beside a teapot: too seldom for a rule
    Companion("n02398521", beside="n02129165", probability=0.3),  # a hippopotamus beside a lion: too seldom
)


def cached_stamps(cache: Path) -> Path:
    """The folder of stamps of the package unpacked in `cache`."""
    return cache / PACKAGE / STAMPS


def find_stamps(cache: Path) -> Path | None:
    """The folder of stamps: of the installed package, else in the cache, else None."""
    for folder in (Path("/") / STAMPS, cached_stamps(cache)):
        if folder.is_dir() and any(folder.iterdir()):
            return folder
    return None


def can_fetch() -> bool:
    """Whether apt-get and dpkg-deb are available."""
    return all(shutil.which(program) for program in ("apt-get", "dpkg-deb"))


def fetch_stamps(cache: Path) -> Path | str:
    """Unpack the package into the cache, without root; return the folder of stamps, or the reason of a failure.

    After a failure nothing is left in the cache.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt downloads as a user of its own where root calls it
        download = ["apt-get", "download", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", PACKAGE]
        if (failure := _run(download, folder)) is not None:
            return failure
        package = next(folder.glob("*.deb"), None)
        if package is None:
            return "apt-get downloaded nothing"
        unpacked = folder / "unpacked"
        if (failure := _run(["dpkg-deb", "-x", str(package), str(unpacked)], folder)) is not None:
            return failure
        if not (unpacked / STAMPS).is_dir():
            return f"the package holds no {STAMPS}"
        target = cache / PACKAGE
        shutil.rmtree(target, ignore_errors=True)
        unpacked.rename(target)
    return cached_stamps(cache)


def read_stamps(folder: Path) -> Collection:
    """Read the stamps whose synset is a class of ImageNet-1k, or a descendant or an ancestor of one: a network trained
    on ImageNet-1k can know these.
    """
    files = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.png"))
        if path.with_suffix(".txt").is_file() and "mirror" not in path.stem
    }
    descriptions = {name: _first_line(path.with_suffix(".txt")) for name, path in files.items()}
    synsets = synset_of_stamps(descriptions)
    related = ImageNetRelation()
    cutouts = []
    for name in sorted(synsets):
        if related(synsets[name]):
            with Image.open(files[name]) as picture:
                cutouts.append(Cutout(synsets[name], name, trimmed(picture)))
    present = {each.key for each in cutouts}
    companions = tuple(each for each in COMPANIONS if {each.key, each.beside} <= present)
    return Collection(f"{len(cutouts)} photographs of {PACKAGE}, {len(present)} synsets", tuple(cutouts), companions)


class ImageNetRelation:
    """Whether a synset is a class of ImageNet-1k, or a descendant or an ancestor of one."""

    def __init__(self) -> None:
        self.classes = frozenset(class_list("imagenet-1k"))
        self._above = frozenset(close_upwards(self.classes))

    def __call__(self, key: str) -> bool:
        """Test one synset id."""
        return key in self._above or not self.classes.isdisjoint(close_upwards([key]))


def _run(command: list[str], folder: Path) -> str | None:
    """Run a program in a folder; return the reason of a failure, or None."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} took longer than {_SECONDS} s"
    except OSError as error:
        return f"{command[0]} did not start: {error.strerror}"
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
        return f"{command[0]} failed: {lines[-1] if lines else f'exit code {done.returncode}'}"
    return None


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip()
