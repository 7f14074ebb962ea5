"""The partner's side of plain averaging: puts the trunk before the `NumPyClient`, and lets only the trunk out again."""

from flwr.app import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.app.typing import MetricRecordValues
from flwr.clientapp.typing import ClientAppCallable

from strategies import records

# Flower's names for the legacy records that a NumPyClient reads and writes.
FIT = "fit"
EVALUATE = "evaluate"


def plain_trunk_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Translate between the coordinator's records and the `NumPyClient`'s.

    Everything that Flower adds to a reply on its own (example count, status text) stays here.
    """
    verb = FIT if message.metadata.message_type == MessageType.TRAIN else EVALUATE
    incoming = message.content
    message.content = RecordDict(
        {
            f"{verb}ins.parameters": incoming.array_records[records.TRUNK],
            f"{verb}ins.config": ConfigRecord(dict(incoming.config_records[records.CONFIG])),
        }
    )
    answer = call_next(message, context)
    shown: dict[str, MetricRecordValues] = {
        name: value for name, value in answer.content.config_records[f"{verb}res.metrics"].items() if isinstance(value, float)
    }
    trunk = answer.content.array_records[f"{verb}res.parameters"] if verb == FIT else None
    answer.content = records.reply(trunk, MetricRecord(shown))
    return answer
