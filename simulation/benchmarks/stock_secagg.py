"""Flower's own SecAgg+ in this process, to measure against: its workflow at the coordinator, its mod at every partner, both unchanged.

What lies around them is left out of their times: a message is copied where it would be serialised and carried, a partner's update is
ready when it would be trained, and the strategy takes the aggregate as it is. All four exchanges of SecAgg+ belong to the round, since
it makes new keys in each. As in our protocol every partner shares with every other one, with the same threshold.
"""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitIns, FitRes, Parameters, Scalar, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.serverapp import Grid

from fedapp.runtime.flower_internals import (
    FLOWER_LOGGER,
    MAIN_CONFIGS_RECORD,
    MAIN_PARAMS_RECORD,
    RECORD_KEY_CONFIGS,
    ClientProxy,
    GridClientProxy,
    Key,
    LegacyContext,
    SimpleClientManager,
    Stage,
    WorkflowKey,
    WorkflowState,
    as_task,
    fitres_to_recorddict,
)

EXAMPLES = 1000  # every partner's: SecAgg+ multiplies its update by examples / 1000


@dataclass(frozen=True)
class StockRound:
    """What a round of SecAgg+ took.

    Attributes:
        partner_s: Seconds of one partner from its update to its masked vector, decrypting shares included; median over survivors.
        coordinator_s: Seconds of the coordinator in all four exchanges.
        mean: What the coordinator decoded: the mean over survivors, float64.
    """

    partner_s: float
    coordinator_s: float
    mean: np.ndarray


def stock_round(partners: int, threshold: int, dropped: Iterable[int], update: Callable[[int], np.ndarray]) -> StockRound:
    """One round of SecAgg+ over partners 1 to `partners`.

    Args:
        dropped: Partners that fall silent when asked for their masked vectors.
        update: Partner to its float32 vector, values within ±8.
    Raises:
        RuntimeError: The workflow gave up.
    """
    grid = InProcess(partners, frozenset(dropped), update)
    strategy = AsItIs()
    context = LegacyContext(_context(), strategy=strategy, client_manager=SimpleClientManager())
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({WorkflowKey.CURRENT_ROUND: 1})
    context.state.array_records[MAIN_PARAMS_RECORD] = ArrayRecord()
    for index in range(1, partners + 1):
        context.client_manager.register(GridClientProxy(index, cast(Grid, grid), 0))
    workflow, state = SecAggPlusWorkflow(partners, threshold / partners, max_weight=EXAMPLES), WorkflowState()
    with _quiet(), as_task(task_id=1, run_id=0, node_id=0):  # the server's
        start = perf_counter()
        for stage in (workflow.setup_stage, workflow.share_keys_stage, workflow.collect_masked_vectors_stage, workflow.unmask_stage):
            if not stage(cast(Grid, grid), context, state):
                raise RuntimeError(f"SecAgg+ gave up in {stage.__name__}")
        seconds = perf_counter() - start
    assert strategy.aggregate is not None
    (mean,) = parameters_to_ndarrays(strategy.aggregate)
    return StockRound(median(grid.masking.values()), seconds - grid.seconds, mean)


class InProcess:
    """Of Flower's Grid, the one method that the workflow calls; behind it are the partners.

    Attributes:
        seconds: Spent in here, hence not by the coordinator.
        masking: Partner to its seconds for the masked vector.
    """

    def __init__(self, partners: int, dropped: frozenset[int], update: Callable[[int], np.ndarray]) -> None:
        self.contexts = {index: _context() for index in range(1, partners + 1)}
        self.dropped, self.update = dropped, update
        self.seconds = 0.0
        self.masking: dict[int, float] = {}

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """The partners' replies; those of dropped ones are missing."""
        start = perf_counter()
        replies = [reply for message in messages if (reply := self._deliver(copy.deepcopy(message))) is not None]
        self.seconds += perf_counter() - start
        return replies

    def _deliver(self, message: Message) -> Message | None:
        index = message.metadata.dst_node_id
        collecting = message.content.config_records[RECORD_KEY_CONFIGS][Key.STAGE] == Stage.COLLECT_MASKED_VECTORS
        if collecting and index in self.dropped:
            return None
        trained = fitres_to_recorddict(self._result(index), keep_input=False) if collecting else RecordDict()
        start = perf_counter()
        reply = secaggplus_mod(message, self.contexts[index], lambda asked, _: Message(trained, reply_to=asked))
        if collecting:
            self.masking[index] = perf_counter() - start
        return reply

    def _result(self, index: int) -> FitRes:
        return FitRes(Status(Code.OK, ""), ndarrays_to_parameters([self.update(index)]), EXAMPLES, {})


class AsItIs(FedAvg):
    """Asks everybody, sends no model, and takes the aggregate that the workflow decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.aggregate: Parameters | None = None

    def configure_fit(self, server_round: int, parameters: Parameters, client_manager: Any) -> list[tuple[ClientProxy, FitIns]]:
        """All partners, without parameters."""
        return [(proxy, FitIns(Parameters([], "numpy.ndarray"), {})) for proxy in client_manager.all().values()]

    def aggregate_fit(
        self, server_round: int, results: list[tuple[ClientProxy, FitRes]], failures: list[Any]
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Every result already holds the aggregate."""
        self.aggregate = results[0][1].parameters
        return None, {}


def _context() -> Context:
    return Context(run_id=0, node_id=0, node_config={}, state=RecordDict(), run_config={})


@contextmanager
def _quiet() -> Iterator[None]:
    """Flower's log keeps to errors."""
    level = FLOWER_LOGGER.level
    FLOWER_LOGGER.setLevel(logging.ERROR)
    try:
        yield
    finally:
        FLOWER_LOGGER.setLevel(level)
