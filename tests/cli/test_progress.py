"""How the progress of a download is shown."""

from __future__ import annotations

from mlimages.cli.progress import DownloadReport
from mlimages.images import DownloadProgress

NOW = DownloadProgress(
    urls=17_000_000,
    done=1_234_567,
    success=1_200_000,
    failed=34_567,
    reasons={"http_404": 30_000, "dns": 4_000, "read_timeout": 500, "animated": 60, "truncated": 7},
    bytes=123_400_000,
    rate=812.4,
    seconds=1520.0,
)


def test_report_prints_plain_lines_where_there_is_no_terminal(capsys) -> None:
    with DownloadReport(every=0.0) as report:
        report(NOW)
    assert capsys.readouterr().err == (
        "1,234,567 of 17,000,000 URLs, 812/s, 1,200,000 images, 34,567 failed "
        "(http_404 30,000, dns 4,000, read_timeout 500, animated 60, ...)\n"
    )


def test_report_keeps_quiet_between_lines(capsys) -> None:
    with DownloadReport() as report:
        for _ in range(100):
            report(NOW)
    assert capsys.readouterr().err == ""


def test_report_summary_names_every_reason(capsys) -> None:
    DownloadReport().summary(NOW)
    assert capsys.readouterr().out == (
        "1,234,567 of 17,000,000 URLs in 1,520.0 s: 1,200,000 images, 34,567 failed "
        "(http_404 30,000, dns 4,000, read_timeout 500, animated 60, truncated 7), 123.4 MB\n"
    )
