"""A partner's connection to the SuperLink: Flower's Fleet API, with a patience of our own.

Flower's own connection ends the process at the first refusal, and the SuperLink takes a node that was killed back only when its last
heartbeat has expired. Here a process that comes back in the same place goes on as the same node at once, so that what it was asked is
still waiting for its answer.
"""

import random
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.app import Message

from fedapp.errors import RunError
from fedapp.runtime.flower_internals import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    FleetClient,
    GetRunRequest,
    Node,
    NodeAuthHttpInterceptor,
    PullMessagesRequest,
    PushMessagesRequest,
    RetryInvoker,
    RetryState,
    RunNotRunningException,
    RuntimeVersionHttpInterceptor,
    SendNodeHeartbeatRequest,
    exponential,
    get_all_nested_objects,
    get_object_tree,
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
    message_from_proto,
    message_to_proto,
    public_key_to_bytes,
    pull_objects,
    push_objects,
    remove_content_from_message,
    set_message_id,
)
from fedapp.site.proxy import Proxy, http_client
from fedapp.site.run.inbox import StoredRequest, TooLargeError, unfolded

HEARTBEAT = 15.0  # seconds; the SuperLink takes a node for gone after two without a word
BEAT = 5.0
LONGEST_PAUSE = 10  # seconds between attempts to reach the SuperLink
TIMEOUT = 30.0  # seconds without a sign of it
PASSING = (408, 429, 502, 503, 504)  # answers that may be another one soon
UNKNOWN_NODE = (httpx.codes.UNAUTHORIZED, httpx.codes.PRECONDITION_FAILED)
LARGEST_ANSWER = 16 << 20  # bytes of one answer of the SuperLink; Flower's chunks have 5 MiB
OBJECT = 1 << 10  # bytes that an object counts beside its content


def fleet_client(
    superlink: str, trust: ssl.SSLContext, proxy: Proxy | None, private: EllipticCurvePrivateKey, patience: RetryInvoker
) -> FleetClient:
    """Speaks the Fleet API, signed by our node, and takes no answer in that is longer than `LARGEST_ANSWER`, whatever its headers say."""
    http = http_client(trust, proxy, TIMEOUT)
    http.headers["accept-encoding"] = "identity"
    http.event_hooks = {"response": [limit]}  # is called before the answer is read
    signed = (RuntimeVersionHttpInterceptor(component_name="SuperNode"), NodeAuthHttpInterceptor(private, private.public_key()))
    return FleetClient(f"https://{superlink}", http, signed, patience)


def limit(response: httpx.Response) -> None:
    """Let an answer be read as far as `LARGEST_ANSWER`.

    Raises:
        TooLargeError: It is compressed, and could become anything.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise TooLargeError("a compressed answer of the SuperLink, perhaps", LARGEST_ANSWER)
    assert isinstance(response.stream, httpx.SyncByteStream)
    response.stream = Limited(response.stream)


class Limited(httpx.SyncByteStream):
    """A stream that ends in an error where it becomes too long."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[bytes]:
        taken = 0
        for piece in self.stream:
            taken += len(piece)
            if taken > LARGEST_ANSWER:
                raise TooLargeError("an answer of the SuperLink", LARGEST_ANSWER)
            yield piece

    def close(self) -> None:
        self.stream.close()


class Connection:
    """One partner's node, connected.

    Args:
        client: Speaks the Fleet API, authenticated, and tries again while the SuperLink cannot be reached.
        node_id: Ours.
    """

    def __init__(self, client: FleetClient, node_id: int) -> None:
        self.client, self.node_id, self.node = client, node_id, Node(node_id=node_id)

    def receive(self) -> StoredRequest | None:
        """The next request, if there is one; it will not be announced again, and its objects wait until it is confirmed.

        Raises:
            RunNotRunningException: Its run is over.
        """
        response = self.client.PullMessages(PullMessagesRequest(node=self.node))
        if not response.messages_list:
            return None
        return StoredRequest(
            message_from_proto(response.messages_list[0]).metadata.run_id, response.message_object_trees[0].SerializeToString()
        )

    def fetch(self, stored: StoredRequest, largest: int) -> StoredRequest:
        """The same request with its objects.

        Args:
            largest: Bytes that it may have.
        Raises:
            TooLargeError: It has more, or would when its arrays are put together; what was fetched of it is forgotten.
            ObjectPullError: The SuperLink has them no more.
            RunNotRunningException: Its run is over.
        """
        pull = make_pull_object_fn_protobuf(self.client.PullObject, self.node, stored.run_id)
        left, counting = largest, threading.Lock()

        def within(name: str) -> bytes:
            nonlocal left
            content = pull(name)
            with counting:
                left -= len(content) + OBJECT
            if left < 0:
                raise TooLargeError("a request", largest)
            return content

        objects = pull_objects(stored.object_ids(), within)
        if unfolded(objects) > largest:
            raise TooLargeError("arrays that name the same bytes again and again, altogether", largest)
        return replace(stored, objects=objects)

    def confirm(self, request: Message) -> None:
        """Say that a request need not be kept for us."""
        run_id = request.metadata.run_id
        make_confirm_message_received_fn_protobuf(self.client.ConfirmMessageReceived, self.node, run_id)(request.metadata.message_id)

    def bundle(self, run_id: int) -> str:
        """Digest of the app bundle that a run is of."""
        return str(self.client.GetRun(GetRunRequest(node=self.node, run_id=run_id)).run.fab_hash)

    def send(self, reply: Message, seconds: float) -> None:
        """Send an answer.

        Args:
            seconds: That it took.
        Raises:
            RunNotRunningException: Its run is over.
        """
        set_message_id(reply, reply.object_id)
        tree = get_object_tree(reply)
        envelope = message_to_proto(remove_content_from_message(reply) if reply.has_content() else reply)
        response = self.client.PushMessages(
            PushMessagesRequest(node=self.node, messages_list=[envelope], message_object_trees=[tree], clientapp_runtime_list=[seconds])
        )
        push = make_push_object_fn_protobuf(self.client.PushObject, self.node, reply.metadata.run_id, response.session_id)
        push_objects(get_all_nested_objects(reply), push, object_ids_to_push=set(response.objects_to_push))


@contextmanager
def connect(
    superlink: str,
    authority: bytes,
    private: EllipticCurvePrivateKey,
    before: int | None,
    trouble: Callable[[str], None],
    proxy: Proxy | None = None,
) -> Iterator[Connection]:
    """Be online while inside.

    Args:
        superlink: `host:port`.
        authority: Certificate, PEM, of whoever signed the coordinator's.
        private: The node's key.
        before: The node that an earlier process of ours was, in the same place.
        trouble: Told why the SuperLink cannot be reached, and an empty text when it can.
        proxy: The only way there, if there is one.
    Raises:
        RunError: The SuperLink, or its certificate, refuses for good.
    """
    patience, trust = retrying(trouble, proxy), ssl.create_default_context(cadata=authority.decode("ascii"))
    with fleet_client(superlink, trust, proxy, private, patience) as client:
        try:
            node_id = resume_node(client, before) or activate(client, private)
        except httpx.HTTPError as error:
            raise refusal(superlink, error) from error
        try:
            with heartbeats(client, node_id):
                yield Connection(client, node_id)
        except httpx.HTTPError as error:
            raise refusal(superlink, error) from error
        finally:  # who leaves in order is not waited for
            patience.max_tries = 1
            deactivate(client, node_id)


def resume_node(client: FleetClient, before: int | None) -> int | None:
    """The node of an earlier process, if the SuperLink still knows it."""
    try:
        return before if before is not None and heartbeat(client, before) else None
    except httpx.HTTPStatusError:
        return None


def deactivate(client: FleetClient, node_id: int) -> None:
    """Say that a node is gone, if it can be said."""
    with suppress(httpx.HTTPError, RunNotRunningException, TooLargeError):
        client.DeactivateNode(DeactivateNodeRequest(node_id=node_id))


def activate(client: FleetClient, private: EllipticCurvePrivateKey) -> int:
    """Come online as the node that is registered under our key."""
    key = public_key_to_bytes(private.public_key())
    return int(client.ActivateNode(ActivateNodeRequest(public_key=key, heartbeat_interval=HEARTBEAT)).node_id)


def heartbeat(client: FleetClient, node_id: int) -> bool:
    """Say that we are there; whether the SuperLink knows us."""
    return bool(client.SendNodeHeartbeat(SendNodeHeartbeatRequest(node=Node(node_id=node_id), heartbeat_interval=HEARTBEAT)).success)


@contextmanager
def heartbeats(client: FleetClient, node_id: int) -> Iterator[None]:
    """Say so every few seconds while inside; what goes wrong here is noticed where requests are received."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(BEAT * random.uniform(0.8, 1.2)):  # noqa: S311  not a secret
            with suppress(httpx.HTTPError, RunNotRunningException, TooLargeError):
                heartbeat(client, node_id)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def retrying(trouble: Callable[[str], None], proxy: Proxy | None = None) -> RetryInvoker:
    """Tries again while the SuperLink cannot be reached, for ever."""

    def in_vain(error: Exception) -> bool:
        if isinstance(error, httpx.HTTPStatusError):
            if error.response.status_code == httpx.codes.FORBIDDEN:
                raise RunNotRunningException
            return error.response.status_code not in PASSING
        return "certificate" in str(error).lower()

    def waiting(state: RetryState) -> None:
        through = f" through the proxy {proxy}" if proxy else ""
        trouble(f"the SuperLink cannot be reached{through}: {passing(state.exception)}")

    def reached(state: RetryState) -> None:
        if state.tries > 1:
            trouble("")

    pauses = partial(exponential, max_delay=LONGEST_PAUSE)
    return RetryInvoker(pauses, httpx.HTTPError, None, None, on_backoff=waiting, on_success=reached, should_giveup=in_vain)


def passing(error: BaseException | None) -> str:
    """Why it is waited, in words: what answers 503 is the coordinator's gate, and to no partner for what it did."""
    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return "the coordinator's gate answers 503, since the SuperLink behind it does not answer yet, or its disk is full"
    return str(error)


def is_disconnected(error: httpx.HTTPError) -> bool:
    """Whether the connection has ended, and not just one request with it: a SuperLink that was restarted fails on those of earlier runs."""
    return not isinstance(error, httpx.HTTPStatusError) or error.response.status_code in UNKNOWN_NODE


def refusal(superlink: str, error: httpx.HTTPError) -> RunError:
    """What a refusal means, and what to do."""
    if not isinstance(error, httpx.HTTPStatusError):
        return RunError(
            f"{superlink} is not the coordinator that ca.crt vouches for: {error}", "`polyphony doctor` says what is wrong with it"
        )
    match error.response.status_code:
        case httpx.codes.PRECONDITION_FAILED:
            return RunError(
                f"{superlink} does not take our node",
                "a coordinator that has just started takes nodes some seconds later; else: is our node key in its roster, and does no "
                "other SuperNode of ours run, such as that of a copy of this site?",
            )
        case httpx.codes.UNAUTHORIZED:
            return RunError(f"{superlink} does not know our node, or our clock is wrong", "it may have been restarted: we connect anew")
        case status:
            return RunError(f"{superlink} answered {status}", "are both sides of the same version? `polyphony doctor` tells")
