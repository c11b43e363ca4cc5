import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import hostile
import pyarrow.parquet as pq
import pytest
from hostile import HostileServer, hostile_server

from mlimages.errors import FormatError, JobError, MlimagesError
from mlimages.images import DownloadOptions, DownloadProgress, download
from mlimages.storage.verify import verify_parts

ROOT = Path(__file__).parents[3]
LOOPBACK = ("127.0.0.1/32",)


def write_list(path: Path, server: HostileServer, paths: list[str], labels: str = "3:1\t5193:0.9") -> Path:
    path.write_text(
        "".join(f"{server.root + one if one.startswith('/') else one}\t{labels}\n" for one in paths), "utf-8"
    )
    return path


def options(**given) -> DownloadOptions:
    quick = {"allow_networks": LOOPBACK, "backoff": 0.01, "max_wait": 1.5, "read_timeout": 10.0}
    return DownloadOptions(**quick | given)


def log_of(out: Path) -> list[dict]:
    return pq.read_table(out / "log").to_pylist()


def outcome(out: Path) -> dict[str, str | None]:
    """Path of each URL, and its reason."""
    return {"/" + row["url"].split("/", 3)[-1]: row["reason"] for row in log_of(out)}


def state(out: Path) -> dict[str, object]:
    """All that "as if undisturbed" compares: each file's bytes, and of the log's parts every column but ``when``.

    So the manifest goes without the sizes and hashes of these.
    """
    found: dict[str, object] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file() and path.name != ".lock"):
        name = path.relative_to(out).as_posix()
        if name == "manifest.json":
            manifest = json.loads(path.read_text())
            parts = [(part["file"], part["rows"]) for part in manifest["parts"]]
            found[name] = manifest | {"bytes": None, "parts": parts}
        else:
            found[name] = pq.read_table(path).drop(["when"]) if path.parent.name == "log" else path.read_bytes()
    return found


HOSTILE = {
    "/hang/1.jpg": {"read_timeout"},
    "/mute/1.jpg": {"read_timeout"},
    "/drip/1.jpg": {"total_timeout"},
    "/endless/1.jpg": {"too_large"},
    "/huge-length/1.jpg": {"too_large"},
    "/more-than-sent/1.jpg": {"incomplete_body"},
    "/less-than-sent/1.jpg": {"truncated", "bad_response"},  # whether the rest of the body is seen, is a race
    "/half/1.jpg": {"incomplete_body"},
    "/slam/1.jpg": {"connection"},
    "/garbage/1.jpg": {"bad_response"},
    "/endless-headers/1.jpg": {"bad_response"},
    "/busy/1.jpg": {None},
    "/busy-for-a-day/1.jpg": {"http_429"},
    "/down-twice/1.jpg": {None},
    "/down/1.jpg": {"http_503"},
    "/loop/1.jpg": {"too_many_redirects"},
    "/to-good/1.jpg": {None},
    "/to/http://10.0.0.1/secret": {"private_address"},
    "/to/http://127.0.0.2:22/": {"private_address"},
    "/to/file:///etc/passwd": {"unsupported_scheme"},
    "/to/http://s.yimg.com/pw/images/en-us/photo_unavailable.png": {"placeholder"},
    "/html/1.jpg": {"not_an_image"},
    "/lying-type/1.html": {None},
    "/truncated/1.jpg": {"truncated"},
    "/bomb/1.png": {"too_many_pixels"},
    "/gzip/1.jpg": {"content_encoding"},
    "/animated/1.webp": {"animated"},
    "/cmyk/1.jpg": {None},
    "/large/1.png": {None},
    "/empty/1.jpg": {"empty_body"},
    "/placeholder/1.jpg": {"placeholder"},
    "/noai/1.jpg": {"noai"},
    "/missing/1.jpg": {"http_404"},
    "/names/../../../../etc/cron.d/evil.jpg": {None},
    "/names/..%2f..%2fevil.jpg": {None},
    "/names/" + "n" * 10_000 + ".jpg": {"bad_response", None},  # yarl and the server may both have had enough
    "/names/猫 и é.jpg": {None},
    "/names/%E7%8C%AB.jpg": {None},
}


def test_download_survives_a_hostile_server(server: HostileServer, tmp_path: Path) -> None:
    good = [f"/good/{number}.jpg" for number in range(60)]
    paths = [path for pair in zip(HOSTILE, good, strict=False) for path in pair] + good[len(HOSTILE) :]
    placeholder = hashlib.sha256(hostile.PLACEHOLDER).hexdigest()
    out = tmp_path / "out"
    begin = time.monotonic()
    final = download(
        write_list(tmp_path / "list.txt", server, paths),
        out,
        options=options(
            concurrency=16,
            total_timeout=3.0,
            read_timeout=1.5,
            max_bytes=4 << 20,
            placeholders=(placeholder,),
            respect_noai=True,
        ),
    )
    assert time.monotonic() - begin < 60
    found = {row["url"].removeprefix(server.root): row for row in log_of(out)}
    assert len(found) == len(paths) == final.urls == final.done
    for path, reasons in HOSTILE.items():
        assert found[path]["reason"] in reasons, path
    assert all(found[path]["status"] == "success" for path in good)
    for row in found.values():
        if row["status"] == "success":
            body = (out / "images" / row["name"]).read_bytes()
            assert (row["bytes"], row["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
        else:
            assert row["name"] is None
    assert found["/cmyk/1.jpg"]["mode"] == "CMYK"
    assert found["/bomb/1.png"]["width"] == 60_000
    kept = {path.relative_to(out / "images").as_posix() for path in (out / "images").rglob("*") if path.is_file()}
    assert kept == {row["name"] for row in found.values() if row["name"] is not None}
    assert {path.name for path in tmp_path.iterdir()} == {"list.txt", "out"}
    assert {path.name for path in out.iterdir()} == {"images", "log", "image_list.txt", "manifest.json"}
    assert server.seen["/busy/1.jpg"] == 2
    assert server.seen["/down-twice/1.jpg"] == server.seen["/down/1.jpg"] == 3
    assert server.seen["/busy-for-a-day/1.jpg"] == server.seen["/missing/1.jpg"] == 1


def test_download_writes_the_image_list_in_the_order_of_the_list(server: HostileServer, tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text(f"{server.root}/good/2\t7:1.0\n{server.root}/missing/1\t8:1\n{server.root}/png/1\n")
    out = tmp_path / "out"
    final = download(path, out, options=options())
    names = [row["name"] for row in log_of(out)]
    assert (out / "image_list.txt").read_text() == f"{names[0]}\t7:1.0\n{names[2]}\n"
    assert (names[0][-4:], names[1], names[2][-4:]) == (".jpg", None, ".png")
    assert (final.success, final.failed, final.reasons) == (2, 1, {"http_404": 1})
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["content"], manifest["rows"]) == ("download", 3)
    assert manifest["counts"] == {"success": 2, "image_bytes": final.bytes, "failed": 1, "http_404": 1}
    assert verify_parts(out) == []


def test_download_logs_the_time_of_each_url(server: HostileServer, tmp_path: Path) -> None:
    before = time.time()
    download(write_list(tmp_path / "l.txt", server, ["/good/1", "nonsense://x"]), tmp_path / "out", options=options())
    assert all(before - 1 < row["when"].timestamp() < time.time() + 1 for row in log_of(tmp_path / "out"))


def test_download_again_asks_for_nothing_that_is_in_the_log(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1", "/missing/1"])
    first = download(urls, tmp_path / "out", options=options())
    before, seen = state(tmp_path / "out"), server.seen.total()
    again = download(urls, tmp_path / "out", options=options())
    assert server.seen.total() == seen
    assert state(tmp_path / "out") == before
    assert (again.done, again.reasons) == (first.done, first.reasons)


def test_download_retries_only_what_failed_when_asked(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1", "/heals/1", "/missing/1", "/heals/2"])
    out = tmp_path / "out"
    assert download(urls, out, options=options()).success == 1
    final = download(urls, out, options=options(), retry="failed")
    assert (final.success, final.failed) == (3, 1)
    assert [row["status"] for row in log_of(out)] == ["success", "success", "failed", "success"]
    assert len((out / "image_list.txt").read_text().splitlines()) == 3
    assert (server.seen["/good/1"], server.seen["/missing/1"]) == (1, 2)


def test_download_of_a_url_twice_in_the_list_keeps_both_rows(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1", "/good/1"])
    assert download(urls, tmp_path / "out", options=options()).success == 2
    names = [line.split("\t")[0] for line in (tmp_path / "out/image_list.txt").read_text().splitlines()]
    assert len(names) == 2
    assert len(set(names)) == 1


def test_download_of_an_empty_list_is_complete(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("\n\n")
    assert download(tmp_path / "l.txt", tmp_path / "out").urls == 0
    assert (tmp_path / "out/image_list.txt").read_text() == ""


def test_download_refuses_private_addresses_unless_told(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1"])
    assert download(urls, tmp_path / "a").reasons == {"private_address": 1}
    assert server.seen.total() == 0
    assert download(urls, tmp_path / "b", options=DownloadOptions(allow_private=True)).success == 1


def test_download_keeps_within_the_bounds_on_requests(tmp_path: Path) -> None:
    with hostile_server(latency=0.02) as server:
        urls = write_list(tmp_path / "l.txt", server, [f"/good/{i}" for i in range(40)])
        download(urls, tmp_path / "a", options=options(per_host=3))
        assert server.together == 3
        server.together = 0
        download(urls, tmp_path / "b", options=options(concurrency=2))
        assert server.together == 2


def test_download_keeps_to_the_rate(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, [f"/good/{i}" for i in range(30)])
    begin = time.monotonic()
    download(urls, tmp_path / "a", options=options(rate=20))
    assert 0.4 < time.monotonic() - begin < 10  # twenty at once, then ten at 20 a second


def test_download_waits_as_long_as_the_server_says(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/busy/1"])
    assert download(urls, tmp_path / "a", options=options()).success == 1
    assert server.times[1] - server.times[0] > 0.99


def test_download_resizes_in_processes(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1", "/large/1", "/cmyk/1", "/html/1"])
    final = download(urls, tmp_path / "out", options=options(resize=8, processes=1))
    assert final.reasons == {"not_an_image": 1}
    assert [(row["width"], row["height"], row["format"]) for row in log_of(tmp_path / "out")[:3]] == [
        (12, 8, "JPEG"), (8, 8, "JPEG"), (12, 8, "JPEG"),
    ]  # fmt: skip


def test_download_of_many_large_bodies_stays_within_memory(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, [f"/endless/{i}" for i in range(24)])
    script = (
        "import resource, sys; from mlimages.images import *;"
        "import aiohttp, stamina;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "f = download(sys.argv[1], sys.argv[2], options=DownloadOptions(allow_private=True, max_bytes=30 << 20));"
        "print(f.reasons['too_large'], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, urls, tmp_path / "out"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    refused, mebibytes = map(int, run.stdout.split())
    assert refused == 24
    assert mebibytes < 200  # 24 bodies of 30 MiB are 720
    assert not list((tmp_path / "out" / "images").rglob("*.*"))


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def unfinish(out: Path) -> None:
    """Leave a finished download as one that was killed before its last step."""
    (out / "manifest.json").rename(out / "job.json")


def start(urls: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    arguments = ["--allow-private", "--unit-bytes", "2000", "--backoff", "0.01", "--per-host", "8", *more]
    command = [sys.executable, "-m", "mlimages", "download", str(urls), "--out", str(out), *arguments]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 90
    while not condition() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)


MIXED = [
    "/good/{}.jpg",
    "/png/{}",
    "/missing/{}",
    "/html/{}",
    "/truncated/{}",
    "/to-good/{}",
    "/good/é{}.jpg",
    "/empty/{}",
]


def test_download_refuses_a_folder_of_another_list(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1"])
    download(urls, tmp_path / "out", options=options())
    write_list(urls, server, ["/good/2"])
    with pytest.raises(MlimagesError, match=r"l\.txt: changed since the job in .*out was begun .* a new folder"):
        download(urls, tmp_path / "out", options=options())
    other = write_list(tmp_path / "other.txt", server, ["/good/1"])
    with pytest.raises(JobError, match=r"begun with input files \['l.txt'\], and to be resumed with \['other.txt'\]"):
        download(other, tmp_path / "out", options=options())


def test_download_goes_on_with_the_same_list_from_elsewhere(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1", "/heals/1"])
    download(urls, tmp_path / "out", options=options())
    (tmp_path / "moved").mkdir()
    urls = urls.rename(tmp_path / "moved/l.txt")
    os.utime(urls, ns=(0, 12345))
    assert download(urls, tmp_path / "out", options=options(), retry="failed").success == 2


def test_download_makes_a_damaged_part_of_an_unfinished_run_anew(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, [f"/good/{i}" for i in range(40)])
    out = tmp_path / "out"
    download(urls, out, options=options(unit_bytes=500))
    before = state(out)
    unfinish(out)
    (out / "log/part-00001.parquet").write_bytes(b"PAR1 cut short")  # a disk that lost power
    server.seen.clear()
    assert download(urls, out, options=options(unit_bytes=500)).success == 40
    assert 0 < server.seen.total() < 20
    assert state(out) == before


def test_download_refuses_a_folder_of_something_else(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("precious")
    with pytest.raises(JobError, match="not an empty folder"):
        download(urls, tmp_path / "out", options=options())


def test_download_refuses_to_go_on_with_another_size(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1"])
    download(urls, tmp_path / "out", options=options())
    with pytest.raises(MlimagesError, match="begun with resize None, and to be resumed with 64: use the same"):
        download(urls, tmp_path / "out", options=options(resize=64))


def test_download_refuses_a_folder_in_use(tmp_path: Path) -> None:
    with hostile_server(latency=0.2) as server:
        urls = write_list(tmp_path / "l.txt", server, [f"/good/{i}" for i in range(20)])
        process = start(urls, tmp_path / "out", "--concurrency", "1")
        wait_for(lambda: server.seen.total() > 0, process)
        with pytest.raises(MlimagesError, match="another process is writing here"):
            download(urls, tmp_path / "out", options=options(unit_bytes=2000))
        process.kill()
        process.communicate()


def test_download_reports_progress(tmp_path: Path) -> None:
    with hostile_server(latency=0.1) as server:
        urls = write_list(tmp_path / "l.txt", server, [f"/{'good' if i % 2 else 'missing'}/{i}" for i in range(20)])
        reports: list[DownloadProgress] = []
        download(urls, tmp_path / "out", options=options(concurrency=2), progress=reports.append)
    assert [report.urls for report in reports] == [20] * len(reports)
    assert [report.done for report in reports] == sorted(report.done for report in reports)
    assert len(reports) > 2
    assert (reports[-1].success, reports[-1].reasons) == (10, {"http_404": 10})
    assert reports[-1].rate > 0


def test_download_runs_outside_the_main_thread(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1"])
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(download(urls, tmp_path / "o", options=options()).success))
    thread.start()
    thread.join(timeout=30)
    assert found == [1]


def test_download_stops_where_no_file_can_be_opened(tmp_path: Path) -> None:
    with hostile_server(latency=0.2) as server:
        urls = write_list(tmp_path / "l.txt", server, [f"/good/{i}" for i in range(200)])
        command = f"{sys.executable} -m mlimages download {urls} --out {tmp_path}/out --allow-private --per-host 200"
        run = subprocess.run(
            ["bash", "-c", f"ulimit -n 40; exec {command}"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 1
    assert run.stderr.startswith("mlimages: error: ")
    assert "oo many open files" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"concurrency": 0}, "concurrency: found 0, expected 1 or more"),
        ({"retries": -1}, "retries: found -1, expected 0 or more"),
        ({"read_timeout": 0}, "read-timeout: found 0, expected a number of seconds above 0"),
        ({"rate": 0}, "rate: found 0, expected a number of requests a second above 0"),
        ({"quality": 101}, "quality: found 101, expected 1 to 100"),
        ({"resize": 0}, "resize: found 0, expected 1 or more"),
        ({"allow_networks": ("10.0.0.1/8",)}, "allow-networks: found '10.0.0.1/8', expected a network"),
        ({"placeholders": ("abc",)}, "placeholders: found 'abc', expected a SHA-256"),
        ({"output": "zip"}, "output: found 'zip', expected one of files, packed"),
    ],
)
def test_options_refuse_what_makes_no_sense(given: dict, message: str) -> None:
    with pytest.raises(MlimagesError, match=message):
        DownloadOptions(**given)


def test_options_are_shared_out_among_workers() -> None:
    share = DownloadOptions(concurrency=10, per_host=3, rate=4.0, resize=64).shared_by(4)
    assert (share.concurrency, share.per_host, share.rate, share.resize) == (2, 1, 1.0, 64)


def test_download_stops_where_the_disk_is_full(server: HostileServer, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "x.jpg")

    urls = write_list(tmp_path / "l.txt", server, ["/missing/1", *(f"/good/{i}" for i in range(20))])
    with monkeypatch.context() as patch:
        patch.setattr("mlimages.images.downloading.verify._store", full)
        with pytest.raises(JobError, match=r"x\.jpg: no space left on device: free some, then run the same command"):
            download(urls, tmp_path / "out", options=options())
    assert download(urls, tmp_path / "out", options=options()).success == 20


def test_download_of_a_broken_list_leaves_the_folder_free_for_the_mended_one(
    server: HostileServer, tmp_path: Path
) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1"], labels="not a label")
    with pytest.raises(FormatError, match=r"l\.txt:1: found the labels 'not a label'"):
        download(urls, tmp_path / "out", options=options())
    write_list(urls, server, ["/good/1"])
    assert download(urls, tmp_path / "out", options=options()).success == 1
