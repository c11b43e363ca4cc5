import json
import random
import signal
from pathlib import Path

import pytest
from hostile import HostileServer, hostile_server

from mlimages.images import download
from tests.images.downloading.test_download import MIXED, log_of, options, start, state, unfinish, wait_for, write_list


def test_download_killed_and_resumed_ends_as_if_undisturbed(tmp_path: Path) -> None:
    chance = random.Random(4)
    with hostile_server(latency=0.03) as server:
        paths = [MIXED[number % len(MIXED)].format(number) for number in range(240)]
        urls = write_list(tmp_path / "l.txt", server, paths)
        whole = download(urls, tmp_path / "whole", options=options(unit_bytes=2000, allow_private=True))
        assert whole.done == 240
        server.seen.clear()
        kills = 0
        for moment in sorted(chance.sample(range(20, 220), 3)):
            process = start(urls, tmp_path / "killed")
            wait_for(lambda moment=moment: server.seen.total() >= moment, process)
            kills += process.poll() is None
            process.kill()
            process.communicate()
        assert kills == 3
        process = start(urls, tmp_path / "killed")
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "240 of 240 URLs" in out
        assert state(tmp_path / "killed") == state(tmp_path / "whole")
        assert server.seen.total() < 1.5 * (240 + 30)  # goes on, rather than anew; 30 are redirected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_download_stopped_by_a_signal_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    with hostile_server(latency=0.05) as server:
        urls = write_list(tmp_path / "l.txt", server, [f"/good/{i}" for i in range(150)])
        process = start(urls, tmp_path / "out", "--concurrency", "8")
        wait_for(lambda: server.seen.total() >= 60, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 128 + number
        assert err == f"stopped by {number.name}: what is done is kept; run the same command to go on\n"
        assert " of 150 URLs in " in out
        done = int(out.split(" ")[0])
        assert 0 < done < 150
        seen = server.seen.total()
        out, err = start(urls, tmp_path / "out").communicate(timeout=120)
        assert out.startswith("150 of 150 URLs")
        assert server.seen.total() - seen == 150 - done


def test_download_retry_killed_and_resumed_ends_as_if_undisturbed(tmp_path: Path) -> None:
    with hostile_server(latency=0.03) as server:
        urls = write_list(tmp_path / "l.txt", server, [f"/{'heals' if i % 2 else 'good'}/{i}" for i in range(200)])
        download(urls, tmp_path / "out", options=options(unit_bytes=2000))
        server.seen.update(dict.fromkeys(server.seen, 0))
        process = start(urls, tmp_path / "out", "--retry", "failed")
        seen = server.seen.total()
        wait_for(lambda: server.seen.total() >= seen + 40, process)
        process.kill()
        process.communicate()
        out, _ = start(urls, tmp_path / "out", "--retry", "failed").communicate(timeout=120)
        assert "200 images, 0 failed" in out
    assert len((tmp_path / "out/image_list.txt").read_text().splitlines()) == 200
    assert not list((tmp_path / "out").rglob("*.journal"))


def test_download_survives_a_journal_that_was_cut_off(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1", "/good/2", "/good/3"])
    download(urls, tmp_path / "whole", options=options())
    download(urls, tmp_path / "out", options=options())
    unfinish(tmp_path / "out")
    (tmp_path / "out/log/part-00000.parquet").unlink()
    row = log_of(tmp_path / "whole")[0]
    values = [0, *list(row.values())[2:-1], 1_700_000_000_000]
    (tmp_path / "out/log/part-00000.journal").write_text(json.dumps(values) + '\n[1,"succ')
    server.seen.clear()
    download(urls, tmp_path / "out", options=options())
    assert server.seen == {"/good/2": 1, "/good/3": 1}
    assert state(tmp_path / "out") == state(tmp_path / "whole")
