"""The rounds of a run, from the last finished one to the last, in secure and in plain aggregation."""

import os
from collections.abc import Callable

from flwr.app import ArrayRecord
from flwr.serverapp import Grid

from fedapp.config import Config
from fedapp.coordinator.kept_trunk import keep_trunk, latest_trunk
from fedapp.coordinator.side import CoordinatorSide
from fedapp.model.trunk_shape import slot_count
from fedapp.model.update_codec import update_codec
from strategies.coordinator.exchange import Exchanges
from strategies.coordinator.journal import Journal
from strategies.coordinator.plain_trunk import PlainTrunk
from strategies.coordinator.secure_trunk import SecureTrunk
from strategies.secagg.roster import Roster


def federate(grid: Grid, side: CoordinatorSide) -> None:
    """Drive the strategy from the last finished round to the last one."""
    if side.config.aggregation == "secure":
        roster = side.roster()
        secure_rounds(grid, side, roster, open_exchanges(grid, side, tuple(member.name for member in roster.members)))
    else:
        plain_rounds(grid, side, open_exchanges(grid, side, ()))


def open_exchanges(grid: Grid, side: CoordinatorSide, names: tuple[str, ...]) -> Exchanges:
    """The way to the partners of these names, as the configuration says."""
    settings = side.config.federation
    return Exchanges(
        grid,
        Journal(side.folder / "journal.jsonl"),
        partners=side.partners,
        least=side.partners if settings.min_partners is None else settings.min_partners,
        connect_timeout=settings.connect_timeout,
        exchange_timeout=settings.exchange_timeout,
        round_timeout=settings.round_timeout,
        names=names,
    )


def secure_rounds(grid: Grid, side: CoordinatorSide, roster: Roster, exchanges: Exchanges) -> None:
    """All rounds blindly: what partners agreed on before tells where to go on."""
    strategy = SecureTrunk(exchanges, roster, lambda: side.propose(roster), side.config.federation.session_rounds, os.cpu_count() or 1)
    done = strategy.set_up()
    start(strategy.start, grid, side.config, done)
    strategy.finish()


def plain_rounds(grid: Grid, side: CoordinatorSide, exchanges: Exchanges) -> None:
    """All rounds in the clear, from the last trunk that the coordinator kept."""
    config = side.config
    strategy = PlainTrunk(
        exchanges,
        shared=latest_trunk(side),
        codec_of=lambda listed: update_codec(config, listed, side.partners),
        keep=lambda shared: keep_trunk(side.folder, shared),
        slots=slot_count(config),
        guarded=config.privacy.row_guard > 1,
        least_supporters=config.privacy.least_supporters,
        server_learning_rate=config.federation.server_learning_rate,
        momentum=config.federation.momentum,
        metrics=config.federation.metrics_shown,
    )
    strategy.set_up()
    start(strategy.start, grid, config, strategy.shared.version)
    strategy.finish()


def start(rounds: Callable[..., object], grid: Grid, config: Config, done: int) -> None:
    """Flower's own loop over the rounds that are left; the trunk does not travel through it."""
    rounds(grid, ArrayRecord(), num_rounds=config.federation.rounds - done, timeout=config.federation.round_timeout)
