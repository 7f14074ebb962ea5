"""`repetition.json`: what a partner has been made to repeat in the run whose folder this is. See `strategies.secagg.repetition`."""

import json
import secrets
from dataclasses import asdict
from typing import Any

from fedapp.partner_folder import PartnerFolder
from fedapp.storage.damage import reading
from fedapp.storage.json_file import BY_HAND, SEAL, read_sealed, write_sealed
from strategies.secagg.repetition import Repetition, RoundCount

KINDS: dict[str, type] = {"rounds": dict, "sessions": int, "cohort_changes": int, "survivors": list, "first_attempt": int, "furthest": int}
UNUSED = range(1_000, 1_000_000_000)  # attempts at a round that nobody gets to


def read_repetition(folder: PartnerFolder) -> Repetition:
    """What a partner has been made to repeat; nothing in a folder in which nothing was done yet.

    Raises:
        DamagedFileError: The file is lost or damaged: an update could leave once more under other masks, and a round be signed for anew.
    """
    path = folder.repetition
    if not folder.answered():
        return Repetition()
    hint = (
        "it says what was repeated in this run, and keeps an update from leaving twice, which an older copy of it would not. To go on and "
        f"to count all of it anew, sessions and changes of the cohort too, write {counted_anew()} into it"
    )
    said = read_sealed(path, KINDS, hint)
    with reading(path, hint):
        return _parsed(said)


def counted_anew() -> str:
    """What a person writes into the file to count all of it from nothing."""
    unused = Repetition(first_attempt=secrets.choice(UNUSED))  # another number each time: no training ever had it
    return json.dumps({**written(unused), SEAL: BY_HAND})


def write_repetition(folder: PartnerFolder, repetition: Repetition) -> None:
    """Write it down, for good."""
    write_sealed(folder.repetition, written(repetition))


def written(repetition: Repetition) -> dict[str, Any]:
    """What the file says, but for its digest."""
    rounds = {str(number): asdict(count) for number, count in repetition.rounds.items()}
    return {**asdict(repetition), "rounds": rounds, "survivors": list(repetition.survivors)}


def _parsed(said: dict[str, Any]) -> Repetition:
    """The opposite.

    Raises:
        ValueError: Another key, or a value that is no count.
    """
    repetition = Repetition(
        rounds={int(number): RoundCount(**_counts(each)) for number, each in said["rounds"].items()},
        survivors=tuple(said["survivors"]),
        **_counts({key: value for key, value in said.items() if key not in ("rounds", "survivors")}),
    )
    _counts(dict(enumerate(repetition.survivors)))
    if written(repetition) != said:
        raise ValueError("it says something else than what was repeated")
    return repetition


def _counts(said: dict[Any, Any]) -> dict[Any, int]:
    for key, value in said.items():
        if type(value) is not int or value < 0:
            raise ValueError(f"its {key} is {value!r:.40}, and no count")
    return said
