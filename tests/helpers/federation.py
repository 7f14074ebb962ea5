"""Whole runs over the in-memory network, and what they leave behind."""

from pathlib import Path

import numpy as np
from flwr.app import Context, Message, RecordDict
from omegaconf import OmegaConf

from fedapp import client_app, server_app
from fedapp.consortium.membership import ROSTER
from fedapp.consortium.promises import load_transcript
from fedapp.consortium.roster_file import load_roster
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from strategies import message_records
from strategies.coordinator.journal import Exchange, read_journal
from strategies.secagg import keys, transcript
from strategies.secagg.keystream import add_streams
from strategies.secagg.masking import group_masks, tag_words
from strategies.secagg.messages import cohort_digest
from strategies.secagg.state import load
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.local_grid import RUN_ID, Hook, LocalGrid, unchanged


def grid_for(run: RunFolder, down: Hook = unchanged, up: Hook = unchanged) -> LocalGrid:
    """The network of a run, all partners connected."""
    return LocalGrid(client_app.app, len(run.partners()), {"run-dir": str(run.path), "conf": "demo"}, down, up)


def federate(run: RunFolder, grid: LocalGrid | None = None) -> LocalGrid:
    """Start the coordinator, or start it again, as a new process would."""
    grid = grid or grid_for(run)
    server_app.run(grid, Context(RUN_ID, 0, {}, RecordDict(), dict(grid.run_config)))
    return grid


def write_policy(run: RunFolder, name: str, key: str, value: object) -> None:
    """Change one line of a partner's policy, as its owner would."""
    path = PartnerFolder(run.partner(name)).policy
    policy = OmegaConf.load(path)
    policy[key] = value
    path.write_text(OmegaConf.to_yaml(policy))


def step(message: Message) -> str:
    """What a message asks or answers."""
    return str(message.content[message_records.MESSAGE][message_records.STEP])


def body(message: Message) -> bytes:
    """The protocol's own message in it."""
    held = message.content[message_records.MESSAGE][message_records.BODY]
    assert isinstance(held, bytes)
    return held


def exchanges(run: RunFolder) -> list[Exchange]:
    """The coordinator's journal."""
    return read_journal(run.coordinator / "journal.jsonl")


def phases(run: RunFolder) -> list[tuple[int, str]]:
    """Round and step of every exchange so far."""
    return [(exchange.round, exchange.phase) for exchange in exchanges(run)]


def held(run: RunFolder, name: str) -> SharedTrunk:
    """What a partner holds under secure aggregation."""
    return SharedTrunk.read(run.partner(name) / "shared.safetensors")


def all_held(run: RunFolder) -> list[SharedTrunk]:
    """What every partner holds."""
    return [held(run, name) for name in run.partners()]


def kept(run: RunFolder) -> SharedTrunk:
    """The last trunk of a coordinator under plain aggregation."""
    return SharedTrunk.read(sorted(run.coordinator.glob("trunk-*.safetensors"))[-1])


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    """Bit for bit."""
    return [array.shape for array in one] == [array.shape for array in other] and all(
        a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True)
    )


def alike(trunks: list[SharedTrunk], version: int) -> bool:
    """Whether all of these are one trunk, that many rounds old, under one name."""
    first = trunks[0]
    return all(each.version == version and each.name == first.name and equal(each.arrays, first.arrays) for each in trunks)


def unmasked(home: Path, words: np.ndarray) -> np.ndarray:
    """What a partner masked last, from the vector that it sent and the secrets that it keeps at home: words, without the check's tag."""
    state = load((home / "protocol.state").read_bytes())
    session, last = state.session, state.round
    assert session is not None
    assert last is not None
    seeds = {
        other: keys.pairwise_seed(session.pair(other), last.number, cohort_digest(last.cohort), last.trunk)
        for other in last.cohort
        if other != session.index
    }
    hidden, cancelled = group_masks(session, last.number, (session.index,))
    added = [last.self_seed, *hidden, *(seed for other, seed in seeds.items() if other > session.index)]
    plain = words.copy()
    add_streams(plain, [*cancelled, *(seed for other, seed in seeds.items() if other < session.index)], added)
    return plain[: -tag_words(session)]


def transcript_of(run: RunFolder, name: str) -> tuple[transcript.Entry, ...]:
    """The entries of a partner's transcript, every signature checked; none if it was never asked anything."""
    roster = load_roster(run.path / ROSTER)
    paths = list(run.partner(name).glob("transcript-*.jsonl"))
    return load_transcript(paths[0], roster)[1] if paths else ()


def transcripts(run: RunFolder) -> dict[int, tuple[transcript.Entry, ...]]:
    """Those of all partners, by index, as `comparison.compare` takes them."""
    return {index: transcript_of(run, name) for index, name in enumerate(run.partners(), 1)}
