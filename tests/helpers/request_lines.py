"""A partner's log of requests, read strictly: in a test every line counts."""

from pathlib import Path

from fedapp.partner_folder import PartnerFolder
from fedapp.site.request_log import Request
from fedapp.storage.json_lines import read_records


def read_requests(folder: Path) -> list[Request]:
    """All requests so far."""
    return read_records(PartnerFolder(folder).requests, Request)
