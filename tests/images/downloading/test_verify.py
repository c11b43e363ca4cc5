import io
from pathlib import Path

import hostile
import pytest
from PIL import Image

from mlimages.images import DownloadOptions
from mlimages.images.downloading.verify import (
    FLICKR_UNAVAILABLE,
    Verdict,
    is_small,
    keep_image,
    pillow_settings,
    stem_of,
)


@pytest.fixture(autouse=True)
def _as_in_a_run():
    with pillow_settings():
        yield


@pytest.fixture
def keep(tmp_path: Path):
    (tmp_path / "images").mkdir()
    (tmp_path / "partial").mkdir()

    def run(body, *, unavailable=FLICKR_UNAVAILABLE, **options) -> Verdict:
        verdict = keep_image(
            body,
            "ab/x",
            folder=tmp_path / "images",
            partial=tmp_path / "partial",
            options=DownloadOptions(**options),
            unavailable=unavailable,
        )
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert files == ([] if verdict.reason else [tmp_path / "images" / str(verdict.name)])
        return verdict

    run.folder = tmp_path / "images"
    return run


def test_keep_image_stores_the_bytes_as_they_came(keep) -> None:
    body = hostile.picture(7)
    verdict = keep(body)
    assert (verdict.name, verdict.width, verdict.height, verdict.format, verdict.mode) == (
        "ab/x.jpg",
        24,
        16,
        "JPEG",
        "RGB",
    )
    assert (keep.folder / "ab/x.jpg").read_bytes() == body
    assert verdict.bytes == len(body)


@pytest.mark.parametrize(
    ("kind", "extension"), [("PNG", ".png"), ("GIF", ".gif"), ("WEBP", ".webp"), ("BMP", ".bmp"), ("TIFF", ".tif")]
)
def test_keep_image_names_the_format_by_content(keep, kind: str, extension: str) -> None:
    assert keep(hostile.picture(1, kind=kind)).name == f"ab/x{extension}"


def test_keep_image_moves_a_file_from_disk(keep, tmp_path: Path) -> None:
    path = tmp_path / "partial" / "body"
    path.write_bytes(hostile.noise(40))
    verdict = keep(path)
    assert (verdict.format, verdict.width) == ("PNG", 40)
    assert not path.exists()


def test_keep_image_says_cmyk(keep) -> None:
    assert keep(hostile.picture(1, mode="CMYK")).mode == "CMYK"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>gone</html>", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image"),
        (hostile.bomb(), "too_many_pixels"),
        (hostile.animation(), "animated"),
        (hostile.picture(1, size=(200, 200))[:-400], "truncated"),
        (hostile.picture(1, kind="PNG", size=(200, 200))[:-40], "truncated"),
        (hostile.picture(1)[:20], "not_an_image"),
        (hostile.picture(1, kind="WEBP", size=(99, 99))[:-30], "damaged"),
    ],
)  # fmt: skip
def test_keep_image_refuses(keep, body: bytes, reason: str) -> None:
    assert keep(body).reason == reason


def test_keep_image_refuses_more_pixels_than_allowed(keep) -> None:
    body = hostile.picture(1, size=(20, 10))
    assert keep(body, max_pixels=199).reason == "too_many_pixels"
    assert keep(body, max_pixels=200).reason is None


def test_keep_image_knows_a_placeholder_by_its_hash(keep) -> None:
    import hashlib

    digest = hashlib.sha256(hostile.PLACEHOLDER).hexdigest()
    assert keep(hostile.PLACEHOLDER, placeholders=(digest,)).reason == "placeholder"


def test_keep_image_compares_size_and_md5_for_flickrs_placeholder(keep) -> None:
    import hashlib

    assert FLICKR_UNAVAILABLE == (2051, "880a7a58e05d3e83797f27573bb6d35c")
    body = hostile.PLACEHOLDER
    digest = hashlib.md5(body).hexdigest()
    assert keep(body).reason is None
    (keep.folder / "ab/x.png").unlink()
    assert keep(body, unavailable=(len(body), "0" * 32)).reason is None
    (keep.folder / "ab/x.png").unlink()
    assert keep(body, unavailable=(len(body), digest)).reason == "placeholder"


def test_keep_image_resizes_the_shorter_side_and_never_enlarges(keep) -> None:
    verdict = keep(hostile.picture(1, kind="PNG", size=(300, 150)), resize=50)
    assert (verdict.width, verdict.height, verdict.format, verdict.name) == (100, 50, "JPEG", "ab/x.jpg")
    stored = keep.folder / "ab/x.jpg"
    assert verdict.bytes == stored.stat().st_size
    with Image.open(stored) as image:
        assert image.size == (100, 50)
    small = keep(hostile.picture(1, size=(24, 16)), resize=50)
    assert (small.width, small.height) == (24, 16)


def test_keep_image_resizes_upright_and_on_white(keep) -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (40, 20), "red").save(out, "JPEG", exif=exif)
    assert (keep(out.getvalue(), resize=10).width, keep(out.getvalue(), resize=10).height) == (10, 20)
    out = io.BytesIO()
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(out, "PNG")
    keep(out.getvalue(), resize=10)
    with Image.open(keep.folder / "ab/x.jpg") as image:
        assert image.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_keep_image_resizes_every_mode_to_rgb(keep, mode: str) -> None:
    assert keep(hostile.picture(3, mode=mode, size=(40, 40)), resize=20).mode == "RGB"


def test_keep_image_quality_shrinks_the_file(keep) -> None:
    body = hostile.noise(60)
    assert keep(body, resize=50, quality=20).bytes < keep(body, resize=50, quality=95).bytes


def test_is_small_goes_by_pixels_not_by_bytes() -> None:
    assert is_small(hostile.picture(1))
    assert is_small(b"no picture")
    assert not is_small(hostile.bomb())
    assert not is_small(bytes(1 << 17))


def test_stem_of_differs_for_urls_that_end_alike() -> None:
    # the original kept the last two parts of the path, and dropped one of these
    urls = [
        "http://a.org/1/2/cat.jpg", "http://b.org/1/2/cat.jpg", "http://a.org/9/1/2/cat.jpg", "http://a.org/1/2/cat.jpg?s=1",
        "http://a.org/1/2/cat.jpg#x", "https://a.org/1/2/cat.jpg", "http://a.org/1/2/CAT.jpg", "http://a.org/1/2/cat.png",
    ]  # fmt: skip
    stems = [stem_of(url) for url in urls]
    assert len({stem.lower() for stem in stems}) == len(urls)
    assert stems == [stem_of(url) for url in urls]


@pytest.mark.parametrize(
    "url",
    ["http://a/../../../etc/passwd", "http://a/%2e%2e%2f%2e%2e%2fx", "http://a/" + "n" * 10_000 + ".jpg", "http://a/é漢字.jpg",
     "http://a/..", "http://a/CON", "http://a/.hidden", "http://a/\x00\n", "", "http://a/" + "%F0%9F%90%88" * 50, "http://a/\udc80"],
)  # fmt: skip
def test_stem_of_is_safe_whatever_the_url(url: str) -> None:
    import re

    assert re.fullmatch(r"[0-9a-f]{2}/([A-Za-z0-9][A-Za-z0-9_-]{0,47}-)?[0-9a-f]{32}", stem_of(url))
