"""What rounds have left at a partner and is not there any more: nobody else would notice, since whatever is missing is not read."""

from collections.abc import Iterator
from pathlib import Path

from fedapp.partner_folder import PartnerFolder
from strategies.partner.held_trunk import HINT_LOST

GONE = "find out what removed it; put it back only if it was moved just now, since an older copy belongs to no later state. Rounds go on"


def missing(folder: Path) -> dict[str, str]:
    """Files of a partner's private folder that its others say were there, in sentences; and what to do about each."""
    files = PartnerFolder(folder)
    lost = [(path, why) for path, why in _expected(files) if not path.exists()]
    return {f"{path} is missing, and {why}": HINT_LOST if path == files.shared_trunk else GONE for path, why in lost}


def _expected(files: PartnerFolder) -> Iterator[tuple[Path, str]]:
    """Files that must be there, and how that is known."""
    trained = sorted({*files.losses_by_round(), *files.states_by_round()})
    if trained:
        last = f"round {trained[-1]} was trained"
        yield from ((path, last) for path in (files.audits, files.requests, files.rows, files.shared_trunk))
    for number in trained:
        yield files.loss_of(number), f"round {number} was trained"
    for before, number in zip(trained, trained[1:], strict=False):
        if before == number - 1:
            yield files.metrics_of(before), f"round {number} was trained after it was judged"
    if files.metrics_by_round():
        yield from ((path, "a round was judged") for path in (files.sums, files.model_header))
