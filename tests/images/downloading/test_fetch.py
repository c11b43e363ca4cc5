import datetime
import email.utils

import pytest

from mlimages.images.downloading.fetch import _retry_after, forbids_training


@pytest.mark.parametrize(
    ("headers", "forbidden"),
    [
        ([], False),
        (["noai"], True),
        (["NOAI"], True),
        (["noindex, noimageai"], True),
        (["noindex", "noai"], True),
        (["noindex, nofollow"], False),
        (["mlimages: noai"], True),
        (["otherbot: noai"], False),
        (["otherbot: noindex", "noai"], True),
        (["notnoai"], False),
    ],
)
def test_forbids_training_reads_robots_headers(headers: list[str], forbidden: bool) -> None:
    assert forbids_training(headers) is forbidden


def test_retry_after_reads_seconds_and_dates() -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    assert _retry_after("7") == 7
    assert 95 < _retry_after(email.utils.format_datetime(soon, usegmt=True)) <= 100
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _retry_after(None) is None
    assert _retry_after("when we are back") is None
    assert _retry_after("-5") is None
