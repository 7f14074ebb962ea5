"""A bit that flips at rest in any file of a partner's site: its name is told before anything leaves, or all is as it would have been."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from fedapp.errors import PolyphonyError
from strategies.secagg.errors import SecAggError
from tests.helpers.sweeps import EFFORT, every
from tests.site.flipped_site import UNLIKE, Between, Outcome, a_copy, between_rounds, gone_on, told_of

FLIPS, FEW, SIZE = 200, 4, 50  # random ones, on top of one in each file, other ones in each run; without --full; in a test
MODEL = "state/model.safetensors"
WRITTEN_BY_PEOPLE = ("policy.yaml", "floor.yaml", "site.yaml")  # another value there is legal, and shown as it stands


@dataclass(frozen=True)
class Flip:
    """A bit of a file of the site, by the file's number and a share of its length."""

    file: int
    place: float


@dataclass(frozen=True)
class Undamaged:
    """The site, what it tells, and what becomes of it."""

    between: Between
    told: dict[str, str]
    outcome: Outcome


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> Undamaged:
    folder = tmp_path_factory.mktemp("flipped")
    between = between_rounds(folder)
    with a_copy(between, folder) as site:
        told = told_of(between, site)
    with a_copy(between, folder) as site:
        outcome = gone_on(between, site)
    assert outcome.error is None
    assert len(outcome.replies) == len(between.requests) == 4
    assert not any(each.startswith("ERROR") for each in told.values())
    return Undamaged(between, told, outcome)


def parts() -> list[list[Flip]]:
    """Random flips, dealt out over several tests, so that all cores have some."""
    random = Random(EFFORT.seed)
    flips = [Flip(random.randrange(1 << 30), random.random()) for _ in range(FLIPS if EFFORT.full else FEW)]
    return [flips[first : first + SIZE] for first in range(0, len(flips), SIZE)]


@pytest.mark.parametrize("flips", parts(), ids=lambda flips: f"{len(flips)} flips")
def test_a_flipped_bit_is_named_before_anything_leaves_or_changes_nothing(undamaged: Undamaged, flips: list[Flip], tmp_path: Path) -> None:
    files = files_of(undamaged.between.site)
    for number, flip in enumerate(flips):  # every second one is read, and the others are gone on from: both take a second
        check(undamaged, files[flip.file % len(files)], flip.place, tmp_path, read=number % 2 == 0, go_on=number % 2 == 1)


def test_a_bit_flipped_in_each_file_is_named_before_anything_leaves_or_changes_nothing(undamaged: Undamaged, tmp_path: Path) -> None:
    random = Random(EFFORT.seed)
    for name in every(files_of(undamaged.between.site)):
        check(undamaged, name, random.random(), tmp_path)


@pytest.mark.parametrize(
    "name", ["state/shared.safetensors", "state/protocol.state", "state/rows.npy", "state/owner.json", "config.yaml", "took-part.json"]
)
def test_a_flipped_bit_is_told_of_by_name(undamaged: Undamaged, name: str, tmp_path: Path) -> None:
    """These cannot be mended unseen, so that the sweep above is not satisfied by whatever changes nothing."""
    with a_copy(undamaged.between, tmp_path) as site:
        flipped(site / name, 0.6)
        told, outcome = told_of(undamaged.between, site), gone_on(undamaged.between, site)
    assert Path(name).name in told["status"] + told["doctor"] + str(outcome.error)
    assert outcome.error is not None or name == "state/rows.npy", "that one is written anew before it is used"
    assert not outcome.replies or name == "state/rows.npy"


LOST = {  # what status, report or the refusal then names, where nothing brings it back
    "refused": ("config.yaml", "policy.yaml", "floor.yaml", "consortium.yaml", "catalogue.yaml", "endpoints.csv", "keys/identity.key"),
    "refused of the state": ("state/owner.json", "state/state/round-0002.safetensors", "state/local/state/round-0002.safetensors"),
    "told": ("state/requests.jsonl", "state/self_audit.jsonl", "state/loss/round-0001.json", "state/metrics/round-0001.parquet"),
    "told and made anew": ("state/rows.npy", "state/sums.jsonl"),
    "told and made anew with the model": ("state/model.json",),
    "made anew": ("state/choice.json", "took-part.json"),
}


@pytest.mark.parametrize("name", every([name for names in LOST.values() for name in names]))
def test_a_file_that_is_lost_is_refused_told_of_or_made_anew(undamaged: Undamaged, name: str, tmp_path: Path) -> None:
    with a_copy(undamaged.between, tmp_path) as site:
        (site / name).unlink()
        told, outcome = told_of(undamaged.between, site), gone_on(undamaged.between, site)
    what = next(what for what, names in LOST.items() if name in names)
    if what.startswith("refused"):
        assert not outcome.replies
        assert Path(name).name in str(outcome.error)
        return
    assert outcome.error is None
    assert outcome.replies == undamaged.outcome.replies
    made_anew = "anew" in what and (not what.endswith("with the model") or model_changed(undamaged))
    assert made_anew == (outcome.files.get(name) == undamaged.outcome.files[name])
    assert (Path(name).name in told["status"]) == ("told" in what)


def test_without_its_state_a_partner_answers_nothing_and_checks_and_status_name_it(undamaged: Undamaged, tmp_path: Path) -> None:
    with a_copy(undamaged.between, tmp_path) as site:
        shutil.rmtree(site / "state")
        told, outcome = told_of(undamaged.between, site), gone_on(undamaged.between, site)
    assert not outcome.replies and "state is lost or empty" in str(outcome.error)
    assert all("state is lost or empty" in told[verb] for verb in ("status", "doctor"))


def test_without_its_shared_trunk_a_partner_asks_for_it_and_trains_nothing(undamaged: Undamaged, tmp_path: Path) -> None:
    with a_copy(undamaged.between, tmp_path) as site:
        (site / "state/shared.safetensors").unlink()
        told, outcome = told_of(undamaged.between, site), gone_on(undamaged.between, site)
    assert "shared.safetensors is missing" in told["status"]
    assert [words for _, _, words in outcome.replies] == [[]]
    assert outcome.files.keys() & {"state/loss/round-0003.json"} == set()


def model_changed(undamaged: Undamaged) -> bool:
    """Whether the last round was better than those before, so that the partner kept its model: rounding is random, and so is that."""
    return (undamaged.between.site / MODEL).read_bytes() != undamaged.outcome.files[MODEL]


def files_of(site: Path) -> list[str]:
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file())


def flipped(path: Path, place: float) -> str:
    """Flip the bit at this share of a file's length; which one, and what is around it."""
    content = bytearray(path.read_bytes())
    bit = int(place * 8 * len(content))
    around = bytes(content[max(0, bit // 8 - 12) : bit // 8 + 12])
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return f"{path.name}, bit {bit} near {around!r}"


def check(undamaged: Undamaged, name: str, place: float, folder: Path, *, read: bool = True, go_on: bool = True) -> None:
    """Flip a bit in one file of a copy of the site, let every verb read that, and the partner go on; an error that is not ours ends it."""
    if not (undamaged.between.site / name).stat().st_size:
        return
    if read:
        with a_copy(undamaged.between, folder) as site:
            where = flipped(site / name, place)
            check_told(undamaged, told_of(undamaged.between, site), name, where)
    if go_on:
        with a_copy(undamaged.between, folder) as site:
            where = flipped(site / name, place)
            check_outcome(undamaged.outcome, gone_on(undamaged.between, site), name, where)


def check_told(undamaged: Undamaged, told: dict[str, str], name: str, where: str) -> None:
    if name in WRITTEN_BY_PEOPLE:
        return
    for verb, text in told.items():
        assert text == undamaged.told[verb] or Path(name).name in text, f"{where}: {verb} tells something else and does not say why"


def check_outcome(before: Outcome, after: Outcome, name: str, where: str) -> None:
    assert after.replies == before.replies[: len(after.replies)], f"{where}: something else left"
    if after.error is not None:
        assert isinstance(after.error, PolyphonyError | SecAggError), f"{where}: {after.error!r}"
        assert Path(name).name in f"{after.error} {getattr(after.error, 'hint', '')}", f"{where}: {after.error}"
        return
    assert len(after.replies) == len(before.replies), where
    for file, content in before.files.items():
        if file != name and not any(part in file for part in UNLIKE):
            assert after.files.get(file) == content, f"{where}: {file} became another"
    assert after.files.keys() == before.files.keys(), where
