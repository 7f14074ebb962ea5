"""A partner's SuperNode: Flower's connection to the SuperLink, and a loop of our own that runs nothing but what is installed here.

Flower's own SuperNode starts whatever app bundle the SuperLink sends, in a new process for each message. Here a bundle is neither fetched
nor opened: the run must name that of the installed version, and the partner's policy accept it; then the installed app answers. A request
that was being answered when the process died is answered by the next process.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Protocol

import httpx
from flwr.app import Context, Error, Message, RecordDict

from fedapp.consortium.node_key import read_private_key
from fedapp.consortium.policy_file import read_policy, read_policy_file
from fedapp.errors import PolyphonyError
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import now
from fedapp.runtime.bundle import bundle_digest
from fedapp.runtime.flower_internals import ErrorCode, RunNotRunningException, become_task
from fedapp.runtime.locks import locked
from fedapp.site.folder import Site
from fedapp.site.proxy import proxy_of
from fedapp.site.request_log import Request, note_request
from fedapp.site.run.connection import connect, is_disconnected
from fedapp.site.run.inbox import ROOM, Inbox, StoredRequest, TooLargeError, largest_request
from fedapp.storage.json_file import write_sealed
from fedapp.storage.live_files import json_object
from fedapp.wording import shown
from strategies import message_records

PROMPT, IDLE = 0.2, 2.0  # seconds between looks for a request: while a run goes on, and otherwise
AWAKE = 120.0  # seconds after a request for which the next one is expected
ALIVE = 10.0
LOG_BYTES, LOG_FILES = 4 << 20, 5
TOLD = 300  # characters of why a request was dropped
STATE_FILE = "supernode.json"
LOG = logging.getLogger("polyphony")
FOREIGN = "it comes from an app bundle that this partner's policy does not accept, or of another version than the one installed here"
Answer = Callable[[Message, Context], Message]


@dataclass
class NodeState:
    """What the SuperNode is doing, for the status: `log/supernode.json`, written anew every few seconds.

    Attributes:
        file: Where.
        content: What is written.
    """

    file: Path
    content: dict[str, Any] = field(default_factory=dict)

    def change(self, state: str, **details: Any) -> None:
        """Say that something else is being done now."""
        self.content = self.content | {"state": state, "since": now(), "pid": os.getpid()} | details
        self.beat()

    def trouble(self, reason: str) -> None:
        """Say what is wrong, in the log too; an empty text when it is over."""
        if reason:
            LOG.warning("%s", reason)
        self.content = self.content | {"error": reason}
        self.beat()

    def beat(self) -> None:
        """Say that the process is alive."""
        write_sealed(self.file, self.content | {"alive": now()})

    def go_on(self) -> None:
        """Beat in the background until the process ends."""

        def beat_for_ever() -> None:
            while True:
                time.sleep(ALIVE)
                with suppress(OSError):  # a full disk may have room again, and who lives must say so then
                    self.beat()

        threading.Thread(target=beat_for_ever, daemon=True).start()


class Link(Protocol):
    """A connection to the SuperLink, as `fedapp.site.run.connection` has it."""

    node_id: int

    def receive(self) -> StoredRequest | None: ...

    def fetch(self, stored: StoredRequest, largest: int) -> StoredRequest: ...

    def confirm(self, request: Message) -> None: ...

    def bundle(self, run_id: int) -> str: ...

    def send(self, reply: Message, seconds: float) -> None: ...


class SuperNode:
    """Answers the SuperLink's requests, one at a time.

    Args:
        site: The partner's.
        link: To the SuperLink.
        answer: The installed client app.
        state: Is told what goes on.
        installed: Digest of the bundle of the installed version.
    """

    def __init__(self, site: Site, link: Link, answer: Answer, state: NodeState, installed: str) -> None:
        self.site, self.link, self.answer, self.state, self.installed = site, link, answer, state, installed
        self.inbox = Inbox(PartnerFolder(site.state).inbox)
        self._bundles: dict[int, str] = {}
        self._awake_until = 0.0

    def run(self) -> None:
        """Answer requests until the connection fails."""
        self.state.change("waiting", node=self.link.node_id, step="", error="")
        stored = self._left()
        while True:
            stored = self._fetched(stored or self._announced())
            if stored is None:
                time.sleep(PROMPT if time.monotonic() < self._awake_until else IDLE)
            else:
                self._attend(stored)
                stored = None

    def _left(self) -> StoredRequest | None:
        """The request that an earlier process left; one that a power cut damaged is gone."""
        try:
            stored = self.inbox.unanswered()
            if stored is not None:
                stored.object_ids()
                LOG.info("answering the request that an earlier process left")
            return stored
        except Exception as error:
            self._dropped(error)
            return None

    def _dropped(self, error: Exception, run_id: int = 0) -> None:
        """Forget a request that cannot be answered, and say so: kept, it would end every process after this one too."""
        reason = f"{type(error).__name__}: {shown(str(error)):.{TOLD}}"  # a peer may have chosen its words
        LOG.error("a request is dropped: %s", reason)
        self.inbox.clear()
        with suppress(OSError):  # a full disk may have room again for the next request
            self._note_refusal(run_id, reason, size=error.limit if isinstance(error, TooLargeError) else 0)

    def _note_refusal(self, run_id: int, reason: str, label: str = "", size: int = 0) -> None:
        """Log a request that nothing was answered to; page and `status` show it."""
        refused = Request(time=now(), run=run_id, step="", round=label, bytes_in=size, bytes_out=0, seconds=0.0, refused=reason)
        note_request(self.site.state, refused)

    def _announced(self) -> StoredRequest | None:
        """The next request, if there is one, written down as soon as we know of it: it is announced only once."""
        try:
            stored = self.link.receive()
        except RunNotRunningException:
            return None  # its run is over
        except TooLargeError as error:
            self._dropped(error)
            return None
        if stored is not None:
            self.inbox.keep(stored)
        return stored

    def _fetched(self, stored: StoredRequest | None) -> StoredRequest | None:
        """The whole request, and on disk before the SuperLink hears that we have it."""
        if stored is None or stored.objects is not None:
            return stored
        try:
            stored = self.link.fetch(stored, self._largest())
            self.inbox.keep(stored)
            self.link.confirm(stored.message())
            return stored
        except Exception as error:
            if isinstance(error, httpx.HTTPError) and is_disconnected(error):
                raise  # the request may still be there for the next process
            self._dropped(error, stored.run_id)
            return None

    def _attend(self, stored: StoredRequest) -> None:
        """Answer a request, and send the answer."""
        started = time.monotonic()
        try:
            request = stored.message()
            self.state.change("answering", step=message_records.step(request.content), round=request.metadata.group_id)
            self.link.send(self._answered(request), time.monotonic() - started)
        except RunNotRunningException:
            LOG.info("the run ended before the answer was ready")
        except Exception as error:
            self._dropped(error, stored.run_id)
            if isinstance(error, httpx.HTTPError) and is_disconnected(error):
                raise
        self.inbox.clear()
        self._awake_until = time.monotonic() + AWAKE
        self.state.change("waiting")

    def _answered(self, request: Message) -> Message:
        run_id, kind = request.metadata.run_id, request.metadata.message_type
        become_task(request.metadata.dst_task_id or 0, run_id, self.link.node_id)
        try:
            accepted = self._accepted(run_id)
        except PolyphonyError as error:  # the coordinator hears at once that nothing comes, and need not wait for it
            return self._refusal(request, f"{type(error).__name__}: {error}", ErrorCode.CLIENT_APP_RAISED_EXCEPTION)
        if not accepted:
            return self._refusal(request, f"ForeignAppError: {FOREIGN}", ErrorCode.INVALID_FAB)
        context = Context(run_id, self.link.node_id, {"site": str(self.site.path)}, RecordDict(), {})
        try:
            return self.answer(request, context)
        except Exception as error:  # whatever it was, it stays here, and the next request finds us alive
            LOG.error("%s", error)
            request.metadata.message_type = kind  # the app may have changed it
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "the partner could not answer"), reply_to=request)

    def _refusal(self, request: Message, reason: str, code: int) -> Message:
        """An answer without a reason, which stays here."""
        LOG.error("a request was refused: %s", reason)
        self._note_refusal(request.metadata.run_id, reason, label=request.metadata.group_id)
        return Message(Error(code, "refused"), reply_to=request)

    def _largest(self) -> int:
        """Bytes of a request that are taken in; with an unusable policy as many as a short one needs, which is answered with an error."""
        try:
            return largest_request(read_policy(self.site.policy))
        except PolyphonyError:
            return ROOM

    def _accepted(self, run_id: int) -> bool:
        """Whether the run's bundle is of the version that would answer, and one that our policy names: two versions may add otherwise."""
        if run_id not in self._bundles:
            self._bundles[run_id] = self.link.bundle(run_id)
        return self._bundles[run_id] == self.installed and self.installed in read_policy_file(self.site.policy).applications


def run_supernode(site: Site, answer: Answer) -> None:
    """Connect, and answer requests with the installed client app until the connection fails or the process is ended.

    Raises:
        BusyError: Another SuperNode runs on this site.
        ConfigError: The node key is missing, or the proxy is none.
        RunError: The SuperLink refuses us.
    """
    state = NodeState(site.log / STATE_FILE)
    with locked(site.state, "a SuperNode"):  # a partner answers from one place only
        keep_log(site.log / "supernode.log")
        before = earlier_node(site)
        state.change("connecting", step="", error="", place=here(site))
        state.go_on()
        try:
            private, proxy = read_private_key(site.keys / "node.key"), proxy_of(site)
            with connect(site.settings.superlink, site.authority.read_bytes(), private, before, state.trouble, proxy) as connection:
                LOG.info("connected to %s%s", site.settings.superlink, f" through the proxy {proxy}" if proxy else "")
                SuperNode(site, connection, answer, state, bundle_digest()).run()
        except BaseException as error:  # an orderly end too, or it would pass for one that lives until its last sign of life is old
            reason = "; ".join(filter(None, (str(error), error.hint))) if isinstance(error, PolyphonyError) else state.content["error"]
            with suppress(OSError):  # a full disk must not hide why it ends
                state.change("stopped", step="", error=reason)
            raise


def earlier_node(site: Site) -> int | None:
    """The node that the last process in this very place was; a copy of the site elsewhere is another place.

    Who cannot read it connects as a new node, and the file is written anew at once.
    """
    path = site.log / STATE_FILE
    state = json_object(path)
    if path.is_file() and not state:
        LOG.warning("%s is damaged and is written anew", path)
    return state["node"] if state.get("place") == here(site) and isinstance(state.get("node"), int) else None


def here(site: Site) -> str:
    """This machine and folder."""
    return f"{socket.gethostname()}:{site.path}"


def keep_log(path: Path) -> None:
    """Write Flower's and our own log to a file that is rotated."""
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("flwr", "polyphony"):
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO)
