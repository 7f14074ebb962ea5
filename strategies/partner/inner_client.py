"""Calling the `NumPyClient` from a mod: a trunk in, a trunk and metrics out."""

from collections.abc import Callable, Mapping

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp.typing import ClientAppCallable

from strategies import message_records

Opener = Callable[[Context], NumPyClient]


class InnerClient:
    """The rest of the client app, as a mod sees it.

    Args:
        message: The request that the mod received; its content is replaced where Flower's own way is taken.
        context: Flower's.
        call_next: Flower's. It puts arrays into bytes and takes them out again, each way: 0.2 processor seconds for 13 million values.
        opener: Opens the `NumPyClient` behind it, which is then handed the arrays themselves and leaves them as they are; None where
            nobody but Flower knows it.
    """

    def __init__(self, message: Message, context: Context, call_next: ClientAppCallable, opener: Opener | None = None) -> None:
        self.message, self.context, self.call_next, self.opener = message, context, call_next, opener
        self.answer: Message | None = None

    def fit(self, trunk: list[np.ndarray], config: Mapping[str, int]) -> tuple[list[np.ndarray], dict[str, float]]:
        """`NumPyClient.fit`; the trained trunk and the metrics. Everything that Flower adds (example count, status) stays here."""
        if self.opener is not None:
            trained, _, metrics = self.opener(self.context).fit(trunk, dict(config))
            return trained, _floats(metrics)
        answer = self._call("fit", MessageType.TRAIN, trunk, config)
        record = answer.array_records["fitres.parameters"]
        return [record[str(position)].numpy() for position in range(len(record))], _floats(answer.config_records["fitres.metrics"])

    def evaluate(self, trunk: list[np.ndarray], config: Mapping[str, int]) -> dict[str, float]:
        """`NumPyClient.evaluate`; the metrics."""
        if self.opener is not None:
            return _floats(self.opener(self.context).evaluate(trunk, dict(config))[2])
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


def _floats(metrics: Mapping[str, object]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if isinstance(value, float)}
