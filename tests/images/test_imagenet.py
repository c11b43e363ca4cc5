"""Taking listed images out of tars of tars, folders of tars and folders, whatever is inside."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from mlimages.errors import FormatError, MlimagesError
from mlimages.images import imagenet

IMAGES = {  # id: content
    "n01440764_18": b"tench 18" * 100,
    "n01440764_36": b"tench 36",
    "n01440764_37": b"tench 37",
    "n02084071_1": b"dog 1" * 3000,
    "n02084071_12": b"dog 12",
    "n04310904_8388": b"statue",
}
WANTED = ["n02084071/n02084071_1.JPEG", "n01440764_37", "n09999999_1", "n01440764_18.JPEG", "n02084071_2"]
TAKEN = {
    "n01440764/n01440764_18.JPEG": b"tench 18" * 100,
    "n01440764/n01440764_37.JPEG": b"tench 37",
    "n02084071/n02084071_1.JPEG": b"dog 1" * 3000,
}


def _tar(members: list[tuple[str, bytes]] | dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members.items() if isinstance(members, dict) else members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _synset_tars() -> dict[str, bytes]:
    synsets = sorted({image.partition("_")[0] for image in IMAGES})
    return {
        f"{synset}.tar": _tar({f"{name}.JPEG": data for name, data in IMAGES.items() if name.startswith(synset)})
        for synset in synsets
    }


@pytest.fixture(params=["tar of tars", "folder of tars", "folders", "flat folder"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "database"
    if request.param == "tar of tars":
        path.write_bytes(_tar(_synset_tars()))
        return path
    path.mkdir()
    if request.param == "folder of tars":
        for name, data in _synset_tars().items():
            (path / name).write_bytes(data)
        return path
    for image, data in IMAGES.items():
        folder = path / image.partition("_")[0] if request.param == "folders" else path
        folder.mkdir(exist_ok=True)
        (folder / f"{image}.JPEG").write_bytes(data)
    return path


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_extract_takes_the_listed_images_and_lists_the_missing(database: Path, tmp_path: Path) -> None:
    done = imagenet.extract(database, WANTED, tmp_path / "out", workers=1)
    assert (done.extracted, done.already_there) == (3, 0)
    assert done.missing == ["n09999999_1", "n02084071_2"]
    assert _files(tmp_path / "out") == {**TAKEN, "missing.txt": b"n09999999_1\nn02084071_2\n"}


def test_extract_again_writes_only_what_is_not_there(database: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    imagenet.extract(database, WANTED[:2], out, workers=1)
    kept = out / "n02084071/n02084071_1.JPEG"
    before = kept.stat().st_ino
    (out / "n01440764/n01440764_37.JPEG").write_bytes(b"cut")  # as a copy by hand that was interrupted
    done = imagenet.extract(database, WANTED, out, workers=1)
    assert (done.extracted, done.already_there) == (2, 1)
    assert kept.stat().st_ino == before
    assert {name: data for name, data in _files(out).items() if name != "missing.txt"} == TAKEN


def test_extract_gives_the_same_with_more_workers(tmp_path: Path) -> None:
    (tmp_path / "all.tar").write_bytes(_tar(_synset_tars()))
    done = imagenet.extract(tmp_path / "all.tar", WANTED, tmp_path / "out", workers=2)
    assert done == imagenet.Extraction(3, 0, ["n09999999_1", "n02084071_2"])
    assert {name: data for name, data in _files(tmp_path / "out").items() if name != "missing.txt"} == TAKEN


def test_extract_reads_one_synset_tar_and_names_with_folders(tmp_path: Path) -> None:
    (tmp_path / "dogs.tar").write_bytes(_tar({"train/n02084071/n02084071_12.JPEG": b"dog 12", "README": b"x"}))
    done = imagenet.extract(tmp_path / "dogs.tar", ["n02084071_12"], tmp_path / "out", workers=1)
    assert done == imagenet.Extraction(1, 0, [])
    assert (tmp_path / "out/n02084071/n02084071_12.JPEG").read_bytes() == b"dog 12"


def test_extract_reads_only_the_bytes_of_wanted_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = {f"n01440764_{number}.JPEG": b"x" * 100_000 for number in range(50)}
    (tmp_path / "all.tar").write_bytes(_tar({"n01440764.tar": _tar(big), "n02084071.tar": _tar(big)}))
    read = []
    original = imagenet._Slice.read

    def counted(self: imagenet._Slice, size: int = -1) -> bytes:
        data = original(self, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(imagenet._Slice, "read", counted)
    done = imagenet.extract(tmp_path / "all.tar", ["n01440764_49"], tmp_path / "out", workers=1)
    assert done.extracted == 1
    assert sum(read) < 100_000 + 52 * 1024  # one image, and a header and a byte for each of the others


@pytest.mark.parametrize("prefix", ["../", "/", "../../n01440764/", "n01440764/../../"])
def test_extract_never_leaves_its_folder(tmp_path: Path, prefix: str) -> None:
    inner = _tar([(f"{prefix}n01440764_18.JPEG", b"tench"), (f"{prefix}evil_1.JPEG", b"evil")])
    (tmp_path / "all.tar").write_bytes(_tar([("../n01440764.tar", inner), ("/tmp/evil", b"evil")]))
    done = imagenet.extract(tmp_path / "all.tar", ["n01440764_18"], tmp_path / "a" / "out", workers=1)
    assert done.extracted == 1
    assert set(_files(tmp_path)) == {"all.tar", "a/out/missing.txt", "a/out/n01440764/n01440764_18.JPEG"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_extract_takes_no_link_or_device_for_an_image(tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        info = tarfile.TarInfo("n01440764_18.JPEG")
        info.type, info.linkname = kind, str(tmp_path / "secret")
        tar.addfile(info)
    done = imagenet.extract(tmp_path / "one.tar", ["n01440764_18"], tmp_path / "out", workers=1)
    assert done.missing == ["n01440764_18"]
    assert set(_files(tmp_path / "out")) == {"missing.txt"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "all.tar: not an uncompressed tar"),
        (b"not a tar" * 200, "all.tar: not an uncompressed tar"),
        (_tar({"n02084071.tar": b"no tar" * 500}), "all.tar: not an uncompressed tar"),
        (_tar(_synset_tars())[:9000], r"all.tar: damaged tar \(unexpected end of data\): fetch it anew"),
        (
            _tar({"n02084071.tar": _tar({"n02084071_1.JPEG": b"x" * 5000})[:3000]}),
            "all.tar: unexpected end of data, in 'n02084071_1.JPEG'",
        ),
    ],
)
def test_extract_names_a_damaged_tar(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "all.tar").write_bytes(content)
    with pytest.raises(FormatError, match=message):
        imagenet.extract(tmp_path / "all.tar", ["n02084071_1"], tmp_path / "out", workers=1)
    assert not list((tmp_path / "out").rglob("*.JPEG"))
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_extract_refuses_what_is_no_id(tmp_path: Path) -> None:
    with pytest.raises(MlimagesError, match=r"found '\.\./n01440764_1', expected an ImageNet id"):
        imagenet.extract(tmp_path, ["../n01440764_1"], tmp_path / "out")
    with pytest.raises(MlimagesError, match=r"found 'n02084071/n01440764_1.JPEG'"):
        imagenet.extract(tmp_path, ["n02084071/n01440764_1.JPEG"], tmp_path / "out")
    with pytest.raises(MlimagesError, match="the list names no image"):
        imagenet.extract(tmp_path, [], tmp_path / "out")
    with pytest.raises(MlimagesError, match="workers=0: expected at least 1"):
        imagenet.extract(tmp_path, WANTED, tmp_path / "out", workers=0)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        imagenet.extract(tmp_path / "nowhere", WANTED, tmp_path / "out", workers=1)


def test_read_ids_takes_the_first_column_of_an_image_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("n04310904/n04310904_8388.JPEG\t2367:1\t2172:1\n\nn01440764_18\n")
    assert imagenet.read_ids(path) == ["n04310904_8388", "n01440764_18"]
    path.write_text("n01440764_18\nphoto.jpg\t3:1\n")
    with pytest.raises(FormatError, match=r"list.txt:2: found 'photo.jpg', expected an ImageNet id"):
        imagenet.read_ids(path)
