"""What both ways to aggregate a trunk have in common as a Flower `Strategy`: nobody is asked to evaluate, since that needs no exchange."""

from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy


class BaseTrunk(Strategy):
    """A strategy whose partners evaluate when they get the next train message."""

    def configure_evaluate(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        """Nothing: evaluation rides on the next train message."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Nothing to add up."""
        return None
