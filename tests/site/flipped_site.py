"""A partner's site between two rounds, what it is asked next, and what it then sends, holds and tells: to be held against a damaged one.

The partner is one of four of a real consortium, over the in-memory network. It answers from deterministic secrets, so that the words it
sends are the same ones whenever it is asked from the same folder.
"""

import copy
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from flwr.supercore.task_identity import TaskIdentity

from fedapp import client_app, server_app
from fedapp.errors import PolyphonyError
from fedapp.partner.errors_at_home import PartnerFailedError, keep_errors_home
from fedapp.partner.open_side import open_client
from fedapp.prediction.export import export_model
from fedapp.prediction.predict import predict_file
from fedapp.site.accept import accept
from fedapp.site.doctor import checks, network
from fedapp.site.doctor.examine import AT_BOTH, AT_PARTNER, made
from fedapp.site.endpoints import Wanted
from fedapp.site.folder import SITE_VARIABLE, Site
from fedapp.site.status.report import write_site_report
from fedapp.site.status.site_status import site_status
from strategies import message_records
from strategies.secagg.errors import SecAggError
from strategies.secagg.identity import Identity
from strategies.secagg.phases import Step
from tests.helpers.federation import step
from tests.helpers.local_grid import RUN_ID, LocalGrid
from tests.helpers.small_run import write_dataset
from tests.site.kits import NAMES, found

PARTNER, ROUNDS = 0, 3
NAME = NAMES[PARTNER]
SETTINGS = (
    *(f"federation.rounds={ROUNDS}", "federation.connect_timeout=1", "federation.momentum=0.5"),
    *("privacy.row_guard=3", "privacy.endpoint_labels=5", "evaluation.min_per_class=3", "model.hidden=[4]", "chemistry.bits=64"),
)
CATALOGUE = "endpoints:\n- {id: hERG, measures: block of the hERG channel, unit: p, thresholds: [5.5]}\n"
# What differs between two runs of the same: times.
TIMES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\s\"<]*|\d+ \w{3} \d{4}, \d\d:\d\d:\d\d.UTC|[\d.,]+\s(?:s|min|h|d|ms)\b")
UNLIKE = ("requests.jsonl", "loss/")
ELSEWHERE = (checks.masked_sum, checks.disk, checks.memory)  # which look at the machine, and not at the site's files
OFFLINE = [check for check in (AT_BOTH | AT_PARTNER).values() if check.__module__ != network.__name__ and check not in ELSEWHERE]


@dataclass(frozen=True)
class Between:
    """A partner's site between two rounds.

    Attributes:
        site: As it lies there, never to be changed.
        requests: What the partner is asked next.
        compounds: A file of new ones, for predictions.
        signatures: That it gave, by what was signed: of themselves they are other ones each time.
    """

    site: Path
    requests: list[Message]
    compounds: Path
    signatures: dict[bytes, bytes]


@dataclass
class Outcome:
    """What a partner did: the replies that left, the error that ended it, and what it holds in the end by file."""

    replies: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    files: dict[str, bytes] = field(default_factory=dict)


class Recording(LocalGrid):
    """The network of four sites; copies one of them as the last round begins, and keeps what that one is asked from there on."""

    def __init__(self, sites: dict[str, Site], kept: Path) -> None:
        self.sites, self.kept, self.requests, self.patch = sites, kept, list[Message](), pytest.MonkeyPatch()
        self.signatures: dict[bytes, bytes] = {}
        super().__init__(client_app.app, len(NAMES), {}, self.keep, self.undo)

    def connect(self, partition: int) -> None:
        node = self.node(partition)
        self.contexts[node] = context(self.sites[NAMES[partition]], node)

    def keep(self, partition: int, message: Message) -> Message:
        if partition == PARTNER and (self.requests or (message.metadata.group_id, step(message)) == (str(ROUNDS), Step.COLLECT)):
            if not self.requests:
                shutil.copytree(self.sites[NAME].path, self.kept)
            self.requests.append(copy.deepcopy(message))
            repeatable(self.patch, message, self.signatures)
        return message

    def undo(self, _: int, message: Message) -> Message:
        self.patch.undo()
        return message


def context(site: Site, node: int = 101) -> Context:
    return Context(RUN_ID, node, {"site": str(site.path)}, RecordDict(), {})


def repeatable(patch: pytest.MonkeyPatch, message: Message, signatures: dict[bytes, bytes]) -> None:
    """Let a request be answered with the same secrets whenever it is asked, and the same be signed alike."""
    sign = Identity.sign

    def signed(identity: Identity, content: bytes) -> bytes:
        if content not in signatures:
            signatures[content] = sign(identity, content)
        return signatures[content]

    patch.setattr(os, "urandom", Random(f"{message.metadata.group_id} {step(message)}").randbytes)
    patch.setattr(Identity, "sign", signed)


def between_rounds(folder: Path) -> Between:
    """Found a consortium with a catalogue, run all rounds, and keep a partner's site as it was before the last one."""
    founded = found(folder / "founded")
    (founded.path / "endpoints.yaml").write_text(CATALOGUE)
    kits = founded.kits("kits", *SETTINGS, f"tasks.catalogue={founded.path / 'endpoints.yaml'}")
    for number, name in enumerate(NAMES):
        write_dataset(founded.path / "data" / name, name, compounds=160 - 10 * number, tasks=3, bits=64)
        accept(founded.site(kits, name), founded.path / "data" / name, Wanted((f"SECRET-{name}-target0=hERG",)))
    founded.site(kits, "coordinator")
    sites = {name: Site.open(founded.path / "sites" / name) for name in ("coordinator", *NAMES)}
    grid = Recording(sites, folder / "site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SITE_VARIABLE, str(sites["coordinator"].path))
        server_app.run(grid, Context(RUN_ID, 0, {}, RecordDict(), {}))
    (folder / "new.smi").write_text("CCO ethanol\nc1ccccc1C(=O)O benzoic acid\n")
    return Between(folder / "site", grid.requests, folder / "new.smi", grid.signatures)


def gone_on(between: Between, path: Path) -> Outcome:
    """Let the partner whose site lies at `path` answer what it is asked next, until it refuses."""
    outcome, raised = Outcome(), list[BaseException]()

    def caught(message: Message, here: Context, call_next: ClientAppCallable) -> Message:
        try:
            return call_next(message, here)
        except BaseException as error:
            raised.append(error)
            raise

    app = ClientApp(open_client, mods=[keep_errors_home, caught, client_app.trunk_mod])
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN_ID, 1
    for request in between.requests:
        asked = copy.deepcopy(request)
        with pytest.MonkeyPatch.context() as patch:
            repeatable(patch, request, dict(between.signatures))
            try:
                held = Context(RUN_ID, 101, {"site": str(path)}, RecordDict(), {})
                outcome.replies.append(said(app(asked, held)))
            except PartnerFailedError:
                outcome.error = raised[-1]
                break
    outcome.files = {each.relative_to(path).as_posix(): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}
    return outcome


def said(reply: Message) -> Any:
    """What a reply says: its words, and how long its message is, since signatures are other ones each time."""
    content = reply.content
    words = [each.tobytes() for each in message_records.vectors(content, message_records.WORDS)]
    held = content[message_records.MESSAGE][message_records.BODY]
    assert isinstance(held, bytes)
    return step(reply), len(held), words


def told_of(between: Between, path: Path) -> dict[str, str]:
    """What each verb that reads a partner's site tells of it: its words without times, or the error that it names."""
    out = path.parent / "out"
    out.mkdir(exist_ok=True)

    def predict() -> str:
        predict_file(path, between.compounds, out / "predicted.csv")
        return (out / "predicted.csv").read_text()

    def export() -> str:
        shutil.rmtree(out / "exported", ignore_errors=True)
        export_model(path, out / "exported")
        return str({each.name: each.read_bytes() for each in sorted((out / "exported").iterdir()) if each.name != ".polyphony.json"})

    def report() -> str:
        page = write_site_report(Site.open(path)).read_text()
        return page + (path / "tasks.csv").read_text()

    def status() -> str:
        told = site_status(Site.open(path))
        told["health"] = told["health"]["failure"]
        return json.dumps(told, sort_keys=True)

    def doctor() -> str:
        return "\n".join(str(made(check, Site.open(path))) for check in OFFLINE)

    readers = {"status": status, "predict": predict, "export": export, "report": report, "doctor": doctor}
    return {name: TIMES.sub("", answer(reader).replace(str(path), "SITE")) for name, reader in readers.items()}


def answer(reader: Callable[[], str]) -> str:
    """What a reader says, or the named error; any other error ends the test."""
    try:
        return reader()
    except (PolyphonyError, SecAggError) as error:
        return f"ERROR {error} ({getattr(error, 'hint', '')})"


@contextmanager
def a_copy(between: Between, folder: Path) -> Iterator[Path]:
    """The partner's site, to be damaged and to go on from."""
    path = Path(shutil.copytree(between.site, folder / "copy" / "site"))
    try:
        yield path
    finally:
        shutil.rmtree(path)
