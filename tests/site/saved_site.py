"""Sites as their processes leave them, made in milliseconds: real rosters, policies and trunks, and logs of rounds that could have been."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from fedapp.config import load_config, to_yaml
from fedapp.consortium.agreement import configuration_digest, default_limits, default_policy
from fedapp.consortium.policy_file import read_policy_file, write_policy, write_policy_file
from fedapp.consortium.roster_file import write_roster
from fedapp.data.catalogue import catalogue_digest
from fedapp.evaluation.selection import METRICS_SCHEMA
from fedapp.model.trunk_shape import layout
from fedapp.partner_folder import PartnerFolder
from fedapp.site.floor import write_floor
from fedapp.site.folder import COORDINATOR, PARTNER, Settings, Site
from fedapp.site.request_log import Request, note_request
from fedapp.storage.json_file import write_sealed
from fedapp.storage.json_lines import sealed_line
from fedapp.storage.sealed_array import write_flags
from fedapp.storage.sealed_table import write_table
from strategies.coordinator.journal import Exchange, Journal
from strategies.partner.repetition import write_repetition
from strategies.secagg.phases import Step
from strategies.secagg.repetition import Repetition, RoundCount
from strategies.secagg.roster import Member, Roster, default_threshold
from strategies.update.self_audit import OWN, SUM, Audited
from strategies.update.shared_trunk import SharedTrunk
from tests.strategies.secagg.parties import identities

NAMES = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo")
CONFIG = "name: joint\nchemistry: {bits: 256}\nmodel: {hidden: [8]}\nfederation: {rounds: 20, initial_trunk: group_key}\n"
LISTED = 180
COORDINATES = LISTED * 8 + 8
ROUND = (Step.COLLECT, Step.CONSISTENCY, Step.UNMASK)


def ago(seconds: float) -> str:
    """An ISO time in the past."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def roster(count: int = 4) -> Roster:
    """Of partners with fixed keys."""
    members = tuple(Member(index, NAMES[index - 1], each.public) for index, each in enumerate(identities(count), 1))
    threshold = default_threshold(count)
    return Roster("Arboretum", threshold, max(3, threshold), members)


def fresh(path: Path, role: str = PARTNER, config: str = CONFIG, partners: int = 4, **settings: object) -> Site:
    """A site as it is unpacked: configuration, roster and policy, and no round yet."""
    name = "coordinator" if role == COORDINATOR else NAMES[1]
    site = Site.create(path, replace(Settings(role, name, "localhost:9092"), **settings))  # type: ignore[arg-type]
    configure(path, config)
    write_roster(site.roster, roster(partners))
    held, path = site.config(), site.policy if site.partner else site.proposal
    write_policy(path, default_policy(held, roster(partners)), ["a" * 64], "d" * 64, catalogue_digest(held), limits=default_limits(held))
    if site.partner:
        write_floor(site.floor)
        write_repetition(PartnerFolder(site.state), Repetition())
    return site


def configure(path: Path, text: str) -> None:
    """Give a site this experiment, written out whole as a kit has it."""
    (path / "config.yaml").write_text(text)
    (path / "config.yaml").write_text(to_yaml(load_config(path / "config.yaml")))


def agree(site: Site) -> None:
    """Let a partner's policy name the experiment and the catalogue that lie beside it, as that of a new kit does."""
    config = site.config()
    named = {"configuration": configuration_digest(config).hex(), "catalogue": catalogue_digest(config), "layout": layout(config)}
    write_policy_file(site.policy, replace(read_policy_file(site.policy), **named))


def beat(site: Site, state: str = "waiting", age: float = 3.0, **more: object) -> None:
    """The SuperNode's last sign of life."""
    held = {"state": state, "since": ago(age + 240), "alive": ago(age), "pid": 4711, "node": 1234567890123456789, "step": "", "error": ""}
    write_sealed(site.log / "supernode.json", held | more)


@dataclass(frozen=True)
class Made:
    """Rounds that a partner has behind it; bytes are of a trunk of millions of weights."""

    rounds: int
    upload: int = 41_943_040
    seconds_apart: float = 95.0


def answered(step: Step, label: str, out: int, seconds: float, before: float) -> Request:
    """One request that was answered."""
    return Request(ago(before), 9876543210, step.value, label, out // 9 + 900, out, seconds, "")


def rounds_at(site: Site, made: Made) -> None:
    """What so many rounds leave in a partner's folder."""
    generator = np.random.default_rng(7)
    requests = [answered(Step.ADVERTISE_KEYS, "0", 5600, 0.4, 9e3), answered(Step.SHARE_KEYS, "0", 14_200, 0.5, 9e3)]
    requests += [answered(step, "0", 131_072 if step is Step.COLLECT else 3600, 0.6, 9e3) for step in ROUND]
    for number in range(1, made.rounds + 1):
        before = (made.rounds - number) * made.seconds_apart + 12
        sizes = {Step.COLLECT: made.upload, Step.CONSISTENCY: 3491, Step.UNMASK: 2210}
        times = {Step.COLLECT: 61 + 6 * generator.random(), Step.CONSISTENCY: 0.7, Step.UNMASK: 0.5}
        requests += [answered(step, str(number), sizes[step], times[step], before - 4 * place) for place, step in enumerate(ROUND)]
        audit_of(site, number, OWN)
        write_loss(site, number, 0.69 - 0.25 * (1 - 0.8**number), times[Step.COLLECT] - 5)
        if number < made.rounds:  # the newest round's trunk is evaluated when the next one begins
            sum_of(site, number)
            audit_of(site, number, SUM)
            write_scores(site, number, 0.38 + 0.24 * (1 - 0.82**number) + 0.006 * generator.standard_normal())
    for each in requests:
        note_request(site.state, each)
    write_repetition(PartnerFolder(site.state), once_each(made.rounds))
    hold_trunk(site, max(0, made.rounds - 1))
    keep_model(site, max(1, made.rounds - 2))


def once_each(rounds: int) -> Repetition:
    """What is counted of so many rounds in one session, none of them twice."""
    return Repetition(dict.fromkeys(range(1, rounds + 1), RoundCount(1, 1)), sessions=1, survivors=(1, 2, 3, 4))


def keep_model(site: Site, number: int, test: float | None = 0.5, spearman: float | None = None, own: int = 0, **choice: str) -> None:
    """The header of a model of the federated round `number`, and of the round `own` of the partner's own, with these test figures."""
    members = [{"name": "federated", "round": number, "shared_heads": {}}, {"name": "local", "round": own, "shared_heads": {}}]
    figures = {"validation": {"auc_pr": 0.6, "spearman": None}, "test": {"auc_pr": test, "spearman": spearman}}
    header = {"round": number, "members": members[: 1 + bool(own)], "choice": choice or {"classification": "federated"}}
    write_sealed(site.state / "model.json", header | {"figures": figures})


def sum_of(site: Site, number: int, partners: int = 4, clipped: int = 3, few: dict[str, int] | None = None) -> None:
    """One more line of sums."""
    held = {"round": number, "partners": partners, "clipped": clipped, "largest": 0.04, "coordinates": COORDINATES, "range": 0.25}
    held |= {"rows": LISTED, "slots": 0, "few": few or {}}
    with (site.state / "sums.jsonl").open("a") as file:
        file.write(sealed_line(held) + "\n")


def audit_of(site: Site, number: int, vector: str, attempt: int = 0, named: int = 0, **more: float) -> None:
    """One more line of the self-audit."""
    held = Audited(number, vector, attempt, rows=140, fewest=10, twin_groups=3, identified=named, compounds=16_212, **more)  # type: ignore[arg-type]
    with PartnerFolder(site.state).audits.open("a") as file:
        file.write(sealed_line(asdict(held)) + "\n")


def hold_trunk(site: Site, version: int, own: int = 140) -> None:
    """The shared trunk after so many rounds, and our own rows."""
    rows = np.arange(256) < LISTED
    arrays = [np.zeros((256, 8), np.float32), np.zeros(8, np.float32)]
    SharedTrunk(arrays, version, b"t" * 32, 0.25, rows, b"s" * 32).write(site.state / "shared.safetensors")
    write_flags(PartnerFolder(site.state).rows, np.arange(256) < own)


def write_loss(site: Site, number: int, loss: float, seconds: float = 50.0) -> None:
    """What a round's training leaves."""
    write_sealed(site.state / "loss" / f"round-{number:04d}.json", {"round": number, "loss": loss, "seconds": seconds})


def write_scores(site: Site, number: int, validation: float) -> None:
    """What a round's evaluation leaves: two tasks that count on either fold, 0.1 apart, and one too small to."""
    rows = [
        {"fold": fold, "task": task, "positives": 2 if task == 2 else 40, "negatives": 60, "auc_pr": 0.0 if task == 2 else value}
        for fold, mean in (("validation", validation), ("test", validation - 0.02))
        for task, value in enumerate((mean - 0.05, mean + 0.05, 0.0))
    ]
    (site.state / "metrics").mkdir(exist_ok=True)
    frame = pl.DataFrame([held | {"round": number, "auc_roc": 0.8, "bce": 0.3} for held in rows], schema=METRICS_SCHEMA)
    write_table(site.state / "metrics" / f"round-{number:04d}.parquet", frame)


def write_values(folder: Path, number: int, validation: float, classes: float | None = None) -> None:
    """What a round's evaluation leaves of a task of values that counts, and with `classes` of one of classes beside it."""
    rows: list[dict[str, object]] = []
    for fold in ("validation", "test"):
        rows.append({"fold": fold, "task": 0, "exact": 40, "censored": 3, "spearman": validation, "r2": 0.2, "rmse": 0.7})
        if classes is not None:
            rows.append({"fold": fold, "task": 1, "positives": 40, "negatives": 60, "auc_pr": classes})
    (folder / "metrics").mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame([held | {"round": number} for held in rows], schema=METRICS_SCHEMA)
    write_table(folder / "metrics" / f"round-{number:04d}.parquet", frame)


def journal_of(site: Site, exchanges: list[Exchange]) -> None:
    """The coordinator's journal."""
    journal = Journal(site.coordinator / "journal.jsonl")
    for each in exchanges:
        journal.append(each)


def set_up(partners: int = 4) -> list[Exchange]:
    """Keys and the row list."""
    keys = [Exchange(0, step.value, partners, partners, 9000, 22_000, 1.4) for step in (Step.ADVERTISE_KEYS, Step.SHARE_KEYS)]
    return keys + [Exchange(0, step.value, partners, partners, 30_000, 540_000, 1.9) for step in ROUND]


def one_round(number: int, partners: int = 4, lost: tuple[str, ...] = (), seconds: float = 64.0) -> list[Exchange]:
    """The three exchanges of a round; `lost` says why replies to the first were left out."""
    left = partners - len(lost)
    return [
        Exchange(number, Step.COLLECT.value, partners, left, 160_000_000, left * 41_943_040, seconds, {}, list(lost)),
        Exchange(number, Step.CONSISTENCY.value, left, left, 42_000, 14_000, 1.5),
        Exchange(number, Step.UNMASK.value, left, left, 51_000, 9000, 1.2),
    ]


def as_lines(requests: list[Request]) -> str:
    """As they lie in the log."""
    return "".join(sealed_line(asdict(each)) + "\n" for each in requests)
