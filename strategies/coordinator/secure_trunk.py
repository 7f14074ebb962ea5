"""Secure aggregation as a Flower `Strategy`: it translates messages to the protocol and back, and adds what it cannot read.

Two exchanges set up a session and three agree on its row list; then three a round. A round that too few partners finish is abandoned and
tried again under the next number, for which partners train afresh; a partner that lacks the trunk gets it from another one, encrypted.
What the coordinator holds dies with its process: a restart begins a new session, and nothing that partners agreed on is lost.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from logging import INFO, WARNING

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.common import log
from flwr.serverapp import Grid

from strategies import message_records
from strategies.coordinator.base_trunk import BaseTrunk
from strategies.coordinator.exchange import Exchanges, Replies, RoundFailedError
from strategies.coordinator.standing import Standing
from strategies.secagg import proofs, wire
from strategies.secagg.collection import Collection
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.errors import (
    BehindError,
    ExcludedPartnerError,
    GuiltyPartnerError,
    LostSeedsError,
    MalformedMessageError,
    RoundAbandonedError,
    TrunkMismatchError,
    UnusableKeyError,
)
from strategies.secagg.messages import Handover, Holding, LastRound, SessionParameters, SignedHeader, index_bytes
from strategies.secagg.phases import Step
from strategies.secagg.roster import Roster
from strategies.update import public_metrics

ATTEMPTS = 2  # of a round, before the run ends
Vectors = dict[str, list[np.ndarray]]


class SecureTrunk(BaseTrunk):
    """Adds masked trunk updates, blindly.

    Args:
        exchanges: The way to the partners, with journal and time-outs.
        roster: Who may take part.
        propose: Fresh session parameters.
        session_rounds: Rounds after which a new session begins.
        threads: For the masks.
    """

    def __init__(
        self, exchanges: Exchanges, roster: Roster, propose: Callable[[], SessionParameters], session_rounds: int, threads: int = 1
    ) -> None:
        self.exchanges, self.roster, self.propose, self.session_rounds, self.threads = exchanges, roster, propose, session_rounds, threads
        self.version = 0
        self._nodes: dict[int, int] = {}
        self.standing = Standing()
        self._proofs: list[bytes] = []
        self._told: dict[int, int] = {}  # partner to how many of these it has
        self._sent_proofs = 0
        self._headers: tuple[SignedHeader, ...] = ()
        self._behind: set[int] = set()
        self._offered: Handover | None = None
        self._of_no_use = Counter[int]()  # holder to how often somebody could not go on with the trunk that it handed over
        self._spoiled = False  # whether the attempt that goes on is one that a holder spoiled for the first time
        self._unheard: set[int] = set()  # nodes, since this set-up began
        self._sum: list[np.ndarray] = []
        self._last: LastRound | None = None
        self._number = 0
        self._rounds_here = 0

    def summary(self) -> None:
        """Say what the coordinator sees."""
        log(INFO, "\taggregation=secure: the coordinator sees neither an update nor the sum of the updates nor the trunk")

    def set_up(self) -> int:
        """Begin a session and agree on its row list; rounds that the partners' trunk has behind it.

        Raises:
            RoundFailedError: Too few partners.
        """
        attempt = 0
        self._unheard = set()
        while True:
            try:
                self._begin_session()
                if self._coordinator.parameters.lists:
                    self._whole_round(rows=True)
                self.exchanges.forget(self.standing.unheard(self._unheard))
                return self.version
            except (GuiltyPartnerError, LostSeedsError) as error:  # counts as no attempt: there are only so many partners
                log(WARNING, "set-up: %s: it begins again without them", error)
            except RoundAbandonedError as error:
                attempt = self._attempts_after(attempt, "set-up", error)

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        """Ask the cohort to finish the last round and to mask for the next one."""
        self.standing.forgive(self.version)
        newcomers = self.exchanges.newcomers() - self.standing.nodes_of(self.standing.excluded())
        if newcomers or self._rounds_here >= self.session_rounds:
            if self._rounds_here:
                self.finish()
            self.set_up()
        return self.exchanges.messages(Step.COLLECT, self.version + 1, self._collect_requests(rows=False), MessageType.TRAIN)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add up what came back; the two short exchanges follow here.

        Raises:
            RoundFailedError: Too few partners, twice.
        """
        arrived, attempt = self.exchanges.replies(replies), 0
        while True:
            try:
                metrics = self._complete(arrived, rows=False)
                return None, MetricRecord({**metrics}) if metrics else None
            except GuiltyPartnerError as error:
                log(WARNING, "round %s: %s: a session without that partner begins", self.version + 1, error)
                self.set_up()
            except LostSeedsError as error:  # no attempt, either
                log(WARNING, "round %s: %s: the next attempt goes on without them", self.version + 1, error)
            except RoundAbandonedError as error:
                attempt = self._attempts_after(attempt, f"round {self.version + 1}", error)
            arrived = self._send_collect(rows=False)

    def finish(self) -> None:
        """Take the last sum to the partners.

        Raises:
            RoundFailedError: Too few took it.
        """
        try:
            self._settle()
        except RoundAbandonedError as error:
            raise RoundFailedError(str(error)) from error

    # A session

    def _begin_session(self) -> None:
        """With all who are connected, but for those whom their standing excludes."""
        coordinator = self._coordinator = Coordinator(self.roster, self.propose(), self.threads)
        self._nodes, self._behind, self._last, self._sum, self._number, self._rounds_here = {}, set(), None, [], 0, 0
        self._offered = None
        request, excluded = coordinator.advertise_request(), self.standing.excluded()
        nodes = set(self.exchanges.connected())
        left_alone = nodes & self.standing.nodes_of(self.standing.left_alone())
        self.exchanges.forget(left_alone)  # newcomers as soon as they are left alone no more
        arrived = self.exchanges.ask(Step.ADVERTISE_KEYS, 0, {node: (request, {}) for node in sorted(nodes - left_alone)})
        for node, body, _ in arrived:
            with arrived.accepting(node):
                try:
                    index = coordinator.add_advertisement(body, excluded)
                except (ExcludedPartnerError, UnusableKeyError) as error:  # signed, so it is known whose it is
                    self._met(node, error.partner)
                    raise
                self._nodes[index] = node
                self._met(node, index)
        self._note_unheard(arrived)
        self._take_proofs()
        self.exchanges.note(arrived)
        request = coordinator.share_keys_request()
        arrived = self.exchanges.ask(Step.SHARE_KEYS, 0, {node: (request, {}) for node in self._nodes.values()})
        indices = {node: index for index, node in self._nodes.items()}
        for node, body, _ in arrived:
            with arrived.accepting(node):
                coordinator.add_contributions(indices[node], body)
        self._note_unheard(arrived)
        self.exchanges.note(arrived)
        self._nodes = {index: self._nodes[index] for index in coordinator.members()}
        self.version, holders = coordinator.agreed_trunk()
        if holders:
            self._behind = set(self._nodes) - set(holders)
        elif self.version:
            raise RoundAbandonedError("the partners that hold the newest trunk contributed no keys")

    def _met(self, node: int, index: int) -> None:
        self.standing.met(node, index)
        self.exchanges.names.call(node, self.roster.member(index).name)

    def _note_unheard(self, arrived: Replies) -> None:
        """Whom the session begins without; who went away is a newcomer whenever it is back."""
        self.exchanges.forget(arrived.away)
        self._unheard |= arrived.unheard()

    def _whole_round(self, rows: bool) -> None:
        self._complete(self._send_collect(rows), rows)

    # A round

    def _send_collect(self, rows: bool) -> Replies:
        number = 0 if rows else self.version + 1
        return self.exchanges.ask(Step.COLLECT, number, self._collect_requests(rows), MessageType.TRAIN)

    def _collect_requests(self, rows: bool) -> dict[int, tuple[bytes, Vectors]]:
        """What each node of the cohort is sent, under a fresh number."""
        cohort = tuple(sorted(set(self._nodes) - set(self.standing.left_alone())))
        self._number += 1
        self._collection = Collection(self._coordinator, self._number, cohort)
        handover, ciphertext = self._handover()
        requests: dict[int, tuple[bytes, Vectors]] = {}
        for index in cohort:
            offered = handover if index in self._behind else None
            body = self._coordinator.collect_request(
                index=index,
                number=self._number,
                cohort=cohort,
                rows=rows,
                version=self.version,
                last=self._last,
                handover=offered,
                headers=self._vouching(offered),
                proofs=self._untold(index),
            )
            requests[self._nodes[index]] = (body, self._vectors(offered, ciphertext))
        return requests

    def _complete(self, arrived: Replies, rows: bool) -> dict[str, float]:
        """From masked inputs to a blinded sum; the means of the public metrics.

        Raises:
            RoundAbandonedError: Too few partners.
        """
        collection = self._collection
        try:
            self._take_inputs(arrived, collection)
            request = collection.consistency_request()
        finally:
            for index, unlike in collection.unlike.items():
                arrived.leave_out(self._nodes[index], unlike)
            self._take_proofs()
            self.exchanges.note(arrived)
        if not rows:  # whoever has the session's trunk masks its row list from that, or lies
            self._behind |= {index for index, unlike in collection.unlike.items() if isinstance(unlike, TrunkMismatchError)}
        requests = dict.fromkeys(collection.survivors, request)
        self.exchanges.note(self._short_exchange(Step.CONSISTENCY, rows, requests, collection.add_signature))
        requests = {index: collection.unmask_request(index) for index in collection.signers()}
        arrived = self._short_exchange(Step.UNMASK, rows, requests, collection.add_answer)
        metrics: dict[str, float] = {}
        try:
            self._sum, public = self._unmasked(collection)
            parameters = self._coordinator.parameters
            metrics = public_metrics.decode(parameters.metrics, public, parameters.word_bits, len(self.roster.members))
        except LostSeedsError as error:
            self.standing.lost_seeds(error.partners)
            raise
        finally:
            for index, wrong in collection.wrong.items():
                arrived.leave_out(self._nodes[index], wrong)
            self._take_proofs()
            self.exchanges.note(arrived, metrics)
        self.standing.finished()
        self._last = LastRound(collection.number, collection.survivors, rows)
        self._headers = tuple(collection.inputs[index].header for index in collection.survivors)[: self.roster.quorum()]
        self.version += 0 if rows else 1
        self._rounds_here += 0 if rows else 1
        return metrics

    def _take_inputs(self, arrived: Replies, collection: Collection) -> None:
        """Take all that came.

        Raises:
            GuiltyPartnerError: One of them proves something.
        """
        indices, guilty = {node: index for index, node in self._nodes.items()}, None
        for node, body, vectors in arrived:
            index = indices[node]
            with arrived.accepting(node):
                try:
                    collection.add_input(index, body, vectors[0] if vectors else None)
                except BehindError:
                    self._told[index] = self._sent_proofs
                    if self.version:  # before the first round there is no trunk that anybody could lack
                        self._behind.add(index)
                    raise
                except GuiltyPartnerError as error:  # of another partner: whoever proved it answered, and so may those after it
                    guilty = error
                    continue
                self._behind.discard(index)
                self._told[index] = self._sent_proofs
        self._judge_handover(arrived)
        if guilty is not None:
            raise guilty

    def _take_proofs(self) -> None:
        """Whom the session's proofs are about takes part no more; every partner gets the proofs with its next request."""
        for proof in self._coordinator.proofs:
            self._proofs.append(proofs.encode(proof))
            self.standing.guilty.add(proof.accused)
            log(WARNING, "%s is proven to have misbehaved: %s", self.roster.member(proof.accused).name, type(proof).__name__)
        self._coordinator.proofs.clear()

    def _short_exchange(self, step: Step, rows: bool, requests: Mapping[int, bytes], accept: Callable[[int, bytes], None]) -> Replies:
        """ConsistencyCheck or Unmasking; requests by partner."""
        indices = {self._nodes[index]: index for index in requests}
        bodies: dict[int, tuple[bytes, Vectors]] = {self._nodes[index]: (request, {}) for index, request in requests.items()}
        arrived = self.exchanges.ask(step, 0 if rows else self.version + 1, bodies)
        for node, body, _ in arrived:
            with arrived.accepting(node):
                accept(indices[node], body)
        return arrived

    def _unmasked(self, collection: Collection) -> tuple[list[np.ndarray], np.ndarray]:
        words, public = collection.unmask()
        return [words], public

    # Taking the last sum home, and a trunk to those who lack it

    def _settle(self) -> None:
        """Let every partner take in the last sum, before the session ends; those who lack the trunk get it handed over."""
        waiting = set(self._nodes)
        for _ in range(ATTEMPTS):
            handover, ciphertext = self._handover()
            requests: dict[int, tuple[bytes, Vectors]] = {}
            for index in waiting:
                offered = handover if index in self._behind else None
                body = self._coordinator.finish_request(
                    index=index,
                    version=self.version,
                    last=self._last,
                    handover=offered,
                    headers=self._vouching(offered),
                    proofs=self._untold(index),
                )
                requests[self._nodes[index]] = (body, self._vectors(offered, ciphertext))
            arrived = self.exchanges.ask(Step.FINISH, self.version, requests, MessageType.EVALUATE)
            waiting -= self._take_finished(arrived)
            self.exchanges.note(arrived)
            if not waiting & self._behind:
                break
        self._coordinator.enough(len(self._nodes) - len(waiting), f"took in the sum of round {self.version}")

    def _take_finished(self, arrived: Replies) -> set[int]:
        indices, finished = {node: index for index, node in self._nodes.items()}, set()
        for node, body, _ in arrived:
            with arrived.accepting(node):
                held = wire.decode(Holding, body)
                self._told[indices[node]] = self._sent_proofs
                if held.version == self.version:
                    finished.add(indices[node])
                else:
                    self._behind.add(indices[node])
        self._judge_handover(arrived)
        return finished

    def _handover(self) -> tuple[Handover | None, list[np.ndarray]]:
        """The trunk of a partner that holds it, for those who do not; None if everybody does.

        Nobody here can tell whether what is handed over is of any use, once its holder signed it. So whose turn it is differs from round to
        round, and whose was of no use to somebody comes after those whose was.
        """
        self._offered = None
        sure = self._nodes if self._last is None else self._last.survivors  # others may have missed a round unnoticed
        holders = sorted(set(sure) & set(self._nodes) - self._behind, key=self._turn)
        if not self._behind & set(self._nodes) or not holders:
            return None, []
        # The trunk that the last round trained from, since its survivors signed for it; the sum of that round comes beside it.
        version = self.version if self._last is None or self._last.rows else self.version - 1
        for index in holders:
            request = self._coordinator.handover_request(index, version)
            arrived = self.exchanges.ask(Step.HANDOVER, self.version, {self._nodes[index]: (request, {})})
            for node, body, vectors in arrived:
                with arrived.accepting(node):
                    offered = wire.decode(Handover, body)
                    if not vectors or vectors[0].dtype != np.uint8 or vectors[0].ndim != 1:
                        raise MalformedMessageError("a handover without the trunk's ciphertext")
                    self._coordinator.check_handover(index, offered, vectors[0])
                    self.exchanges.note(arrived)
                    self._offered = offered
                    return offered, vectors
            self.exchanges.note(arrived)
        log(WARNING, "no partner handed its trunk over to %s", sorted(self._behind))
        return None, []

    def _turn(self, index: int) -> tuple[int, bytes]:
        """Orders the holders of a trunk, otherwise in each round."""
        return self._of_no_use[index], hashlib.sha256(self._coordinator.session + index_bytes((self._number, index))).digest()

    def _judge_handover(self, arrived: Replies) -> None:
        """Count against its holder, and say, that partners could not answer what a trunk was handed over with."""
        if self._offered is None:
            return
        holder = self._offered.holder
        remark = f"it was sent the trunk of {self.roster.member(holder).name}"
        sent = [self._nodes[index] for index in self._behind & set(self._nodes)]
        if [node for node in sent if arrived.could_not_answer(node, remark)]:
            self._of_no_use[holder] += 1
            self._spoiled = self._of_no_use[holder] == 1

    def _untold(self, index: int) -> tuple[bytes, ...]:
        """Proofs of which this partner has not shown yet that it got them."""
        self._sent_proofs = len(self._proofs)
        return tuple(self._proofs[self._told.get(index, 0) :])

    def _vouching(self, offered: Handover | None) -> tuple[SignedHeader, ...]:
        """Who signed for a handed-over trunk: nobody for one that a session begins with, which everybody saw advertised."""
        return self._headers if offered is not None and self._last is not None and not self._last.rows else ()

    def _vectors(self, offered: Handover | None, ciphertext: list[np.ndarray]) -> Vectors:
        vectors: Vectors = {message_records.WORDS: self._sum} if self._sum else {}
        return vectors | ({message_records.HANDOVER: ciphertext} if offered is not None else {})

    def _attempts_after(self, attempt: int, what: str, error: RoundAbandonedError) -> int:
        """Log what was abandoned, by the number under which the journal has it; how many attempts there were, which ends the run at last.

        One that a holder spoiled for the first time, by handing a trunk over, is none: there are only so many of them.
        """
        log(WARNING, "%s: %s: abandoned, and no sum can be read", what, error)
        spoiled, self._spoiled = self._spoiled, False
        if spoiled:
            return attempt
        if attempt + 1 == ATTEMPTS:
            raise RoundFailedError(f"{what}: {error}{self.exchanges.not_connected()}") from error
        return attempt + 1
