"""A partner's log of what it was asked: one line of JSON per request, with the answer's size or the reason for refusing it."""

from dataclasses import asdict, dataclass
from pathlib import Path

from fedapp.partner_folder import PartnerFolder
from fedapp.storage.json_lines import append_line, last_line, sealed_line


@dataclass(frozen=True)
class Request:
    """One request and what became of it.

    Attributes:
        time: When it was answered, ISO 8601, UTC.
        run: Flower's run id.
        step: Of the protocol; empty if the request was refused before it was read.
        round: As the coordinator labelled it.
        bytes_in: Payload, bytes.
        bytes_out: Payload of the answer, bytes; 0 if it was refused.
        seconds: That the answer took.
        refused: Why there was no answer; empty if there was one.
    """

    time: str
    run: int
    step: str
    round: str
    bytes_in: int
    bytes_out: int
    seconds: float
    refused: str


def note_request(folder: Path, request: Request) -> None:
    """Append one line and sync it; the file is nobody else's to read."""
    path = PartnerFolder(folder).requests
    last_line(path)  # cuts off what a kill left unfinished
    append_line(path, sealed_line(asdict(request)))
