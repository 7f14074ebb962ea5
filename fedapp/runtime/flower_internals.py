"""All that we use of Flower below its public API; nobody else imports it from there (`strategies` names two types of it).

Read against Flower 1.41.0, which `pyproject.toml` pins to its minor version: none of this is promised for the next one. On an upgrade,
every import here must still exist, and mean the same:

- The Fleet API, by which a partner's node asks and answers (`fedapp.site.run.connection`, `inbox`): verbs and fields in flwr.proto, the
  objects that a message is taken apart into (flwr.supercore.inflatable), and `ProtobufClient.__init__`, in whose place `FleetClient`
  sets its four attributes. A verb that is new must be let through by `fedapp.site.run.gate`.
- How a node signs (flwr.supernode.node_auth_http_interceptor): header names, tolerances and what is signed, which the gate verifies.
- The Control API, by which node keys are registered (`fedapp.site.run.serve`).
- How replies reach the coordinator (flwr.superlink.grid): the Runtime API, and of `HttpGrid` its `_runtime_client` and `node`
  (`fedapp.runtime.prompt_pull`, in the place of its `pull_messages`).
- Who the process is (`TaskIdentity`), and that a message has its id in `_message_id`, which the constructor leaves out.
- The bytes of an app bundle (flwr.cli.build): policies name their digest.
- The workflow of Flower's own SecAgg+, which `simulation.benchmarks.stock_secagg` measures from within.

Importing this costs no more than importing any of Flower, which takes a second: whoever need not, does not.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from flwr.app import Message
from flwr.app.message.message import remove_content_from_message
from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_HEADER, TIMESTAMP_TOLERANCE, ErrorCode
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.compat.common.recorddict_compat import fitres_to_recorddict
from flwr.proto.control_pb2 import RegisterNodeRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import WorkflowState
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_body,
    get_object_head_values_from_object_content,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectUnavailableError,
    inflate_object_from_contents,
    pull_objects,
    push_objects,
)
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.logger import FLOWER_LOGGER
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, verify_signature
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.retry import RetryInvoker, RetryState, exponential
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor


class FleetClient(FleetHttpClient):
    """Speaks the Fleet API over an HTTP client of ours.

    Flower's own would go where variables of the environment and the coordinator's redirections lead it, and its constructor fails where
    they name a proxy of a kind that it does not speak: so that is not called.

    Args:
        base_url: Of the SuperLink.
        http: Is closed with this.
    """

    def __init__(
        self, base_url: str, http: httpx.Client, interceptors: Sequence[ProtobufClientInterceptor], retry_invoker: RetryInvoker
    ) -> None:
        self._base_url, self._client = base_url, http
        self._interceptors, self._retry_invoker = tuple(interceptors), retry_invoker


def set_message_id(message: Message, name: str) -> None:
    """Give a message its id, which Flower leaves out of its contents and its constructor."""
    message.metadata.__dict__["_message_id"] = name


def become_task(task_id: int, run_id: int, node_id: int) -> None:
    """Let this process make messages as one of Flower's tasks: it makes none before it knows which it is."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = task_id, run_id, node_id


@contextmanager
def as_task(task_id: int, run_id: int, node_id: int) -> Iterator[None]:
    """Be a task while inside."""
    names = ("_task_id", "_run_id", "_node_id")
    before = {name: getattr(TaskIdentity, name) for name in names}
    become_task(task_id, run_id, node_id)
    try:
        yield
    finally:
        for name in names:
            setattr(TaskIdentity, name, before[name])


def build_bundle(folder: Path) -> bytes:
    """The app bundle that Flower makes of an app folder."""
    from flwr.cli.build import build_fab_from_disk  # the command line's own imports, which nothing else here needs

    return bytes(build_fab_from_disk(folder))
