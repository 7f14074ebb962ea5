"""A partner's log of requests: a line each, whole or gone."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.partner_folder import PartnerFolder
from fedapp.site.request_log import Request, note_request
from tests.helpers.request_lines import read_requests

ASKED = Request("2026-01-01T00:00:00+00:00", 7, "ConsistencyCheck", "3", 100, 50, 0.25, "")
REFUSED = replace(ASKED, step="Unmasking", bytes_out=0, refused="AlteredSumError: …")


def test_what_was_noted_is_read_back_in_order_and_is_the_owners_alone(tmp_path: Path) -> None:
    assert read_requests(tmp_path) == []
    note_request(tmp_path, ASKED)
    note_request(tmp_path, REFUSED)
    assert read_requests(tmp_path) == [ASKED, REFUSED]
    assert PartnerFolder(tmp_path).requests.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_that_a_kill_cut_off_is_gone_and_harms_no_later_one(tmp_path: Path, cut: int) -> None:
    note_request(tmp_path, ASKED)
    note_request(tmp_path, REFUSED)
    path = PartnerFolder(tmp_path).requests
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_requests(tmp_path) == [ASKED]
    note_request(tmp_path, REFUSED)
    assert read_requests(tmp_path) == [ASKED, REFUSED]
