"""A partner's SuperNode: it runs only what is installed, answers once, and answers again what a kill cut off."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from flwr.app import Context, Message
from flwr.common.constant import ErrorCode
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.task_identity import TaskIdentity

from fedapp.client_app import app
from fedapp.consortium.node_key import read_private_key
from fedapp.errors import BusyError, ConfigError
from fedapp.runtime.locks import locked
from fedapp.site.folder import PARTNER, Settings, Site
from fedapp.site.run import supernode
from fedapp.site.run.inbox import ROOM, Inbox, StoredRequest, TooLargeError
from fedapp.site.run.supernode import NodeState, SuperNode, earlier_node, here, run_supernode
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.json_file import read_json, write_sealed
from strategies import message_records
from tests.helpers.request_lines import read_requests

OURS, FOREIGN = "ab" * 32, "cd" * 32
RUN, NODE = 77, 5


class ConnectionLostError(Exception):
    """Ends the loop when there is nothing left to receive."""


class KilledError(BaseException):
    """The process ends at once; nothing in it may catch this."""


class SuperLink:
    """The far end of a connection, in memory: requests as objects, answers as they would be taken apart on the way.

    Args:
        digest: Of the app bundle that the run claims.
    """

    node_id = NODE

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self.waiting: list[StoredRequest] = []
        self.dies_after = ""
        self.status = 0
        self.confirmed: list[str] = []
        self.replies: list[Message] = []
        self.over = False

    def ask(self, step: str) -> str:
        """Send a request; its id."""
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN, 1, 1
        message = Message(
            message_records.content(step, {message_records.BODY: b"question"}, {}), dst_node_id=NODE, message_type="query", group_id="3"
        )
        objects = {name: each.deflate() for name, each in get_all_nested_objects(message).items()}
        self.waiting.append(StoredRequest(RUN, get_object_tree(message).SerializeToString(), objects))
        return message.object_id

    def receive(self) -> StoredRequest | None:
        if not self.waiting:
            raise ConnectionLostError
        letter = self.waiting.pop(0)
        self.objects = letter.objects
        return replace(letter, objects=None)

    def fetch(self, letter: StoredRequest, largest: int) -> StoredRequest:
        self.largest = largest
        if self.dies_after == "receive":
            raise KilledError
        letter.object_ids()  # as the real one asks for them
        self.refuse()
        if self.objects is None:
            raise ObjectPullError("id", "gone")
        if sum(map(len, self.objects.values())) > largest:
            raise TooLargeError("a request", largest)
        return replace(letter, objects=self.objects)

    def refuse(self) -> None:
        """Answer with a status for once, as a SuperLink does that knows nothing of a run or of us."""
        status, self.status = self.status, 0
        if status:
            request = httpx.Request("POST", "https://superlink")
            raise httpx.HTTPStatusError(f"{status}", request=request, response=httpx.Response(status, request=request))

    def confirm(self, request: Message) -> None:
        if self.dies_after == "fetch":
            raise KilledError
        self.confirmed.append(request.metadata.message_id)

    def bundle(self, run_id: int) -> str:
        return self.digest

    def send(self, reply: Message, seconds: float) -> None:
        self.refuse()
        if self.over:
            raise RunNotRunningException
        self.replies.append(reply)


@pytest.fixture(autouse=True)
def looks_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supernode, "PROMPT", 0.01)
    monkeypatch.setattr(supernode, "IDLE", 0.01)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site.create(tmp_path / "site", Settings(PARTNER, "alpha", "localhost:9092"))
    made.policy.write_text(
        f"roster: {'aa' * 32}\nconfiguration: {'aa' * 32}\nlayout: '8x2,2'\nword_bits: [32]\nrow_guard: 0\nrounds: 3\nmetrics_shown: []\n"
        f"least_supporters: 3\nleast_survivors: 3\nmost_identified: 0.001\nleast_compounds: 0\napplications: ['{OURS}']\ndata: ''\n"
        "survivor_lists: 2\nsessions: 9\ncohort_changes: 9\ncatalogue: ''\nendpoints: []\n"
    )
    return made


def echo(message: Message, context: Context) -> Message:
    """An app that answers with what it was asked, and the site it finds in its own node's configuration."""
    values: dict[str, int | float | bytes] = {message_records.BODY: str(context.node_config["site"]).encode()}
    return Message(message_records.content(message_records.step(message.content), values, {}), reply_to=message)


def serve(site: Site, superlink: SuperLink, app: Callable[[Message, Context], Message] = echo) -> None:
    """Run a SuperNode until there is nothing left to do."""
    with pytest.raises(ConnectionLostError):
        SuperNode(site, superlink, app, NodeState(site.log / "supernode.json"), OURS).run()


def test_the_installed_app_answers_each_request_once(site: Site) -> None:
    superlink = SuperLink(OURS)
    asked = [superlink.ask("Hello"), superlink.ask("Again")]
    serve(site, superlink)
    assert superlink.confirmed == asked
    assert [reply.metadata.reply_to_message_id for reply in superlink.replies] == asked
    assert [message_records.step_and_body(reply.content)[1] for reply in superlink.replies] == [str(site.path).encode()] * 2


def test_a_run_of_a_foreign_bundle_is_refused_before_anything_runs_and_the_partners_log_says_so(site: Site) -> None:
    superlink = SuperLink(FOREIGN)
    superlink.ask("Hello")

    def must_not_run(message: Message, context: Context) -> Message:
        raise AssertionError("it ran")

    serve(site, superlink, must_not_run)
    (reply,) = superlink.replies
    assert reply.error.code == ErrorCode.INVALID_FAB
    assert FOREIGN not in str(reply.error.reason)
    (noted,) = read_requests(site.state)
    assert (noted.run, noted.step, noted.bytes_out) == (RUN, "", 0)
    assert noted.refused.startswith("ForeignAppError")


def test_a_bundle_that_the_policy_accepts_from_now_on_is_answered_without_a_restart(site: Site) -> None:
    superlink = SuperLink(FOREIGN)
    superlink.ask("Hello")
    node = SuperNode(site, superlink, echo, NodeState(site.log / "supernode.json"), FOREIGN)
    with pytest.raises(ConnectionLostError):
        node.run()
    site.policy.write_text(site.policy.read_text().replace(OURS, FOREIGN))
    superlink.ask("Hello")
    with pytest.raises(ConnectionLostError):
        node.run()
    assert [reply.has_error() for reply in superlink.replies] == [True, False]


def test_a_run_of_another_version_than_the_installed_one_is_refused_though_the_policy_accepts_it(site: Site) -> None:
    superlink = SuperLink(OURS)
    superlink.ask("Hello")
    with pytest.raises(ConnectionLostError):
        SuperNode(site, superlink, echo, NodeState(site.log / "supernode.json"), FOREIGN).run()
    assert [reply.error.code for reply in superlink.replies] == [ErrorCode.INVALID_FAB]
    (noted,) = read_requests(site.state)
    assert noted.refused.endswith("another version than the one installed here")


def test_a_partner_whose_policy_is_unusable_answers_with_an_error_at_once_and_without_a_reason(site: Site) -> None:
    text = site.policy.read_text()
    site.policy.write_text(text.replace("cohort_changes: 9", "cohort_changes: -9"))
    superlink = SuperLink(OURS)
    superlink.ask("Hello")
    serve(site, superlink)
    (reply,) = superlink.replies
    assert reply.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION and "policy" not in str(reply.error.reason)
    assert superlink.largest == ROOM, "no more is taken in than a short request needs"
    (noted,) = read_requests(site.state)
    assert noted.refused == f"ConfigError: {site.policy}: cohort_changes is -9, not 0 or more"
    site.policy.write_text(text)
    superlink.ask("Hello")
    serve(site, superlink)
    assert not superlink.replies[1].has_error()


def test_a_failure_of_the_app_tells_the_coordinator_nothing_and_the_next_request_is_answered(site: Site) -> None:
    superlink = SuperLink(OURS)
    superlink.ask("Hello")
    superlink.ask("Again")

    def fails_once(message: Message, context: Context) -> Message:
        if message_records.step(message.content) == "Hello":
            message.metadata.message_type = "train"  # as an app may have done before it fails
            raise ValueError("aspirin is not in /secret/place")
        return echo(message, context)

    serve(site, superlink, fails_once)
    assert superlink.replies[0].error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert "aspirin" not in str(superlink.replies[0].error.reason)
    assert superlink.replies[0].metadata.message_type == "query"
    assert superlink.replies[1].has_content()


def test_a_request_that_was_being_answered_when_the_process_died_is_answered_by_the_next_one(site: Site) -> None:
    superlink = SuperLink(OURS)
    asked = superlink.ask("Hello")

    def dies(message: Message, context: Context) -> Message:
        raise KilledError

    with pytest.raises(KilledError):
        SuperNode(site, superlink, dies, NodeState(site.log / "supernode.json"), OURS).run()
    assert superlink.replies == []
    serve(site, superlink)
    assert [reply.metadata.reply_to_message_id for reply in superlink.replies] == [asked]
    serve(site, superlink)
    assert len(superlink.replies) == 1, "and not once more"


@pytest.mark.parametrize("moment", ["receive", "fetch"])
def test_a_request_that_was_still_arriving_when_the_process_died_is_answered_by_the_next_one(site: Site, moment: str) -> None:
    superlink = SuperLink(OURS)
    asked = superlink.ask("Hello")
    superlink.dies_after = moment
    with pytest.raises(KilledError):
        SuperNode(site, superlink, echo, NodeState(site.log / "supernode.json"), OURS).run()
    superlink.dies_after = ""
    serve(site, superlink)
    assert [reply.metadata.reply_to_message_id for reply in superlink.replies] == [asked]


def test_a_request_that_the_superlink_has_no_more_is_forgotten_and_the_next_one_answered(site: Site) -> None:
    superlink = SuperLink(OURS)
    superlink.ask("Hello")
    superlink.dies_after = "receive"
    with pytest.raises(KilledError):
        SuperNode(site, superlink, echo, NodeState(site.log / "supernode.json"), OURS).run()
    superlink.dies_after, superlink.objects = "", None
    asked = superlink.ask("Again")
    serve(site, superlink)
    assert [reply.metadata.reply_to_message_id for reply in superlink.replies] == [asked]


@pytest.mark.parametrize("moment", ["receive", "fetch"])
def test_a_request_of_a_run_that_a_restarted_superlink_knows_nothing_of_is_forgotten_and_the_next_one_answered(
    site: Site, moment: str
) -> None:
    superlink = SuperLink(OURS)
    superlink.ask("Hello")
    superlink.dies_after = moment
    with pytest.raises(KilledError):
        SuperNode(site, superlink, echo, NodeState(site.log / "supernode.json"), OURS).run()
    superlink.dies_after, superlink.status = "", 500
    asked = superlink.ask("Again")
    serve(site, superlink)
    assert [reply.metadata.reply_to_message_id for reply in superlink.replies] == [asked]


@pytest.mark.parametrize("status", [401, 412])
def test_a_request_is_kept_for_the_next_process_when_the_superlink_does_not_take_this_one(site: Site, status: int) -> None:
    superlink = SuperLink(OURS)
    asked = superlink.ask("Hello")
    superlink.status = status
    with pytest.raises(httpx.HTTPStatusError):
        SuperNode(site, superlink, echo, NodeState(site.log / "supernode.json"), OURS).run()
    serve(site, superlink)
    assert [reply.metadata.reply_to_message_id for reply in superlink.replies] == [asked]


@pytest.mark.parametrize("name", ["../../../keys/identity.key", "/etc/passwd", "AB" * 32, "ab" * 31, ""])
def test_an_object_whose_name_is_no_digest_becomes_no_file_and_the_next_request_is_answered(site: Site, name: str) -> None:
    superlink = SuperLink(OURS)
    superlink.waiting.append(StoredRequest(RUN, ObjectTree(object_id=name).SerializeToString(), {name: b"planted"}))
    asked = superlink.ask("Hello")
    serve(site, superlink)
    assert [reply.metadata.reply_to_message_id for reply in superlink.replies] == [asked]
    assert not [path for path in site.path.rglob("*") if path.is_file() and b"planted" in path.read_bytes()]


def test_a_request_that_is_no_message_ends_nothing(site: Site) -> None:
    superlink = SuperLink(OURS)
    superlink.waiting.append(StoredRequest(RUN, ObjectTree(object_id="ab" * 32).SerializeToString(), {"ab" * 32: b"nonsense"}))
    asked = superlink.ask("Hello")
    serve(site, superlink)
    assert [reply.metadata.reply_to_message_id for reply in superlink.replies] == [asked]


def test_a_request_larger_than_the_experiment_can_need_is_refused_with_a_line_and_the_next_one_answered(site: Site) -> None:
    superlink = SuperLink(OURS)
    superlink.ask("Hello")
    (letter,) = superlink.waiting
    assert letter.objects is not None
    superlink.waiting = [replace(letter, objects=letter.objects | {"ab" * 32: bytes(ROOM + 18 * 12)})]
    asked = superlink.ask("Again")
    serve(site, superlink)
    assert superlink.largest == ROOM + 18 * 12, "a sum of 8 x 2 + 2 words, the trunk and its velocity in float32"
    assert superlink.confirmed == [reply.metadata.reply_to_message_id for reply in superlink.replies] == [asked]
    (noted,) = read_requests(site.state)
    assert (noted.run, noted.step, noted.round, noted.bytes_out) == (RUN, "", "", 0)
    assert noted.refused.startswith(f"TooLargeError: a request of more than {ROOM + 18 * 12} bytes")
    assert Inbox(site.state / "inbox").unanswered() is None


def test_an_announcement_without_end_is_refused_with_a_line_and_the_next_request_answered(site: Site) -> None:
    superlink = SuperLink(OURS)
    asked = superlink.ask("Hello")
    receive, answers = superlink.receive, iter([True])

    def too_large_at_first() -> StoredRequest | None:
        if next(answers, False):
            raise TooLargeError("an answer", 7)
        return receive()

    superlink.receive = too_large_at_first  # type: ignore[method-assign]
    serve(site, superlink)
    assert superlink.confirmed == [asked]
    assert [each.refused.partition(":")[0] for each in read_requests(site.state)] == ["TooLargeError"]


@pytest.mark.parametrize("file", ["run", "tree", "objects"])
def test_a_request_that_a_power_cut_damaged_is_dropped_and_not_met_again_at_every_start(site: Site, file: str) -> None:
    superlink = SuperLink(OURS)
    superlink.ask("Hello")
    superlink.dies_after = "fetch"
    with pytest.raises(KilledError):
        SuperNode(site, superlink, echo, NodeState(site.log / "supernode.json"), OURS).run()
    path = site.state / "inbox" / file
    for damaged in path.iterdir() if path.is_dir() else [path]:
        damaged.write_bytes(b"")
    superlink.dies_after = ""
    asked = superlink.ask("Again")
    serve(site, superlink)
    assert [reply.metadata.reply_to_message_id for reply in superlink.replies] == [asked]
    assert [bool(each.refused) for each in read_requests(site.state)] == [True], "and the partner's page says so"


def test_why_a_request_was_dropped_is_told_in_short_and_steers_no_terminal_and_a_full_disk_ends_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    superlink = SuperLink(OURS)
    node = SuperNode(site, superlink, echo, NodeState(site.log / "supernode.json"), OURS)
    node._dropped(ValueError("\x1b[2K\rall is well" + "!" * 1000))
    (noted,) = read_requests(site.state)
    assert noted.refused.isprintable() and noted.refused.startswith("ValueError: \\x1b[2K\\rall is well!") and len(noted.refused) < 400

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedapp.site.run.supernode.note_request", full)
    node._dropped(ValueError("another"))


def test_an_answer_to_a_run_that_is_over_is_dropped_and_the_next_request_is_answered(site: Site) -> None:
    superlink = SuperLink(OURS)
    superlink.ask("Hello")
    superlink.over = True
    serve(site, superlink)
    superlink.over = False
    superlink.ask("Again")
    serve(site, superlink)
    assert len(superlink.replies) == 1
    assert Inbox(site.state / "inbox").unanswered() is None


def test_the_pulse_says_what_is_going_on(site: Site) -> None:
    superlink = SuperLink(OURS)
    superlink.ask("Hello")
    seen: list[dict[str, Any]] = []

    def looks(message: Message, context: Context) -> Message:
        seen.append(read_json(site.log / "supernode.json"))
        return echo(message, context)

    serve(site, superlink, looks)
    assert (seen[0]["state"], seen[0]["step"], seen[0]["round"], seen[0]["node"]) == ("answering", "Hello", "3", NODE)
    assert read_json(site.log / "supernode.json")["state"] == "waiting"


@pytest.mark.parametrize(
    ("end", "told"), [(KeyboardInterrupt(), ""), (ConfigError("no key", "make one"), "no key; make one"), (OSError("line cut"), "")]
)
def test_whatever_ends_a_supernode_is_no_sign_of_life_and_the_next_one_is_the_same_node(
    site: Site, monkeypatch: pytest.MonkeyPatch, end: BaseException, told: str
) -> None:
    def receive(_: SuperLink) -> None:
        raise end

    site.authority.write_text("a certificate")
    monkeypatch.setattr(SuperLink, "receive", receive)
    for name, fixed in (("read_private_key", None), ("keep_log", None), ("connect", nullcontext(SuperLink(OURS)))):
        monkeypatch.setattr(supernode, name, lambda *_, fixed=fixed: fixed)
    with pytest.raises(type(end)):
        run_supernode(site, echo)
    said = read_json(site.log / "supernode.json")
    assert (said["state"], said["error"]) == ("stopped", told)
    assert earlier_node(site) == NODE


def test_the_pulse_goes_on_after_the_disk_was_full(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner whose pulse stopped for good would be ended as dead, however well it is."""
    written, again, failures = supernode.write_sealed, threading.Event(), iter([True, True])

    def write(path: Path, held: Any) -> None:
        if next(failures, False):
            raise OSError("no space left on device")
        written(path, held)
        again.set()

    monkeypatch.setattr(supernode, "write_sealed", write)
    monkeypatch.setattr(supernode, "ALIVE", 0.01)
    NodeState(site.log / "supernode.json", {"state": "waiting"}).go_on()
    assert again.wait(10)
    assert "alive" in read_json(site.log / "supernode.json")


def test_a_second_supernode_on_the_same_site_ends_with_a_clear_error(site: Site) -> None:
    with locked(site.state, "a SuperNode"), pytest.raises(BusyError, match=r"in use by a SuperNode \(process \d+ on "):
        run_supernode(site, app)


def test_a_node_key_that_is_missing_damaged_or_of_another_kind_is_named(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path = tmp_path / "node.key"
    with pytest.raises(DamagedFileError, match=r"node\.key is missing"):
        read_private_key(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(DamagedFileError, match=r"node\.key is damaged"):
        read_private_key(path)
    path.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    with pytest.raises(DamagedFileError, match="not a key ecdsa-sha2-nistp384"):
        read_private_key(path)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"place": 3}', '{"node": "x"}'])
def test_a_damaged_sign_of_life_makes_a_new_node_and_stops_nobody(site: Site, damage: str) -> None:
    (site.log / "supernode.json").write_text(damage)
    assert earlier_node(site) is None
    write_sealed(site.log / "supernode.json", {"place": here(site), "node": 77})
    assert earlier_node(site) == 77
