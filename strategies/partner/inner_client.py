"""Calling the `NumPyClient` from a mod: a trunk in, a trunk and metrics out, in Flower's own records."""

from collections.abc import Mapping

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp.typing import ClientAppCallable

from strategies import message_records


class InnerClient:
    """The rest of the client app, as a mod sees it.

    Args:
        message: The request that the mod received; its content is replaced.
        context: Flower's.
        call_next: Flower's.
    """

    def __init__(self, message: Message, context: Context, call_next: ClientAppCallable) -> None:
        self.message, self.context, self.call_next = message, context, call_next
        self.answer: Message | None = None

    def fit(self, trunk: list[np.ndarray], config: Mapping[str, int]) -> tuple[list[np.ndarray], dict[str, float]]:
        """`NumPyClient.fit`; the trained trunk and the metrics. Everything that Flower adds (example count, status) stays here."""
        answer = self._call("fit", MessageType.TRAIN, trunk, config)
        trained = answer.array_records["fitres.parameters"]
        return [trained[str(position)].numpy() for position in range(len(trained))], _floats(answer.config_records["fitres.metrics"])

    def evaluate(self, trunk: list[np.ndarray], config: Mapping[str, int]) -> dict[str, float]:
        """`NumPyClient.evaluate`; the metrics."""
        return _floats(self._call("evaluate", MessageType.EVALUATE, trunk, config).config_records["evaluateres.metrics"])

    def reply(self, content: RecordDict) -> Message:
        """A reply to the coordinator with this content."""
        if self.answer is None:
            return Message(content, reply_to=self.message)
        self.answer.content = content
        return self.answer

    def _call(self, verb: str, message_type: str, trunk: list[np.ndarray], config: Mapping[str, int]) -> RecordDict:
        self.message.metadata.message_type = message_type
        self.message.content = RecordDict(
            {f"{verb}ins.parameters": message_records.array_record(trunk), f"{verb}ins.config": ConfigRecord(dict(config))}
        )
        self.answer = self.call_next(self.message, self.context)
        return self.answer.content


def _floats(metrics: ConfigRecord) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if isinstance(value, float)}
