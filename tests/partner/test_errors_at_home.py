"""What a partner writes down of a request that it could not answer."""

from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedapp.errors import ConfigError
from fedapp.partner import errors_at_home
from fedapp.partner.errors_at_home import PartnerFailedError, keep_errors_home
from fedapp.storage.json_file import read_json
from strategies import message_records
from strategies.secagg.errors import PolicyError
from tests.helpers.request_lines import read_requests


@pytest.mark.parametrize(
    ("error", "noted", "hint"),
    [
        (PolicyError("the coordinator proposes rounds 9"), "PolicyError: the coordinator proposes rounds 9", "polyphony kit install"),
        (ConfigError("no policy", "bring it back"), "ConfigError: no policy", "bring it back"),
    ],
)
def test_the_kind_of_an_error_is_written_once_and_a_refused_proposal_has_a_hint(
    error: Exception, noted: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors_at_home, "partner_folder", lambda context: tmp_path)

    def refuses(message: Message, context: Context) -> Message:
        raise error

    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    content = message_records.content("AdvertiseKeys", {message_records.BODY: b"question"}, {})
    message = Message(content, dst_node_id=1, message_type="query", group_id="0")
    with pytest.raises(PartnerFailedError, match="could not answer"):
        keep_errors_home(message, Context(1, 1, {}, RecordDict(), {}), refuses)
    (request,) = read_requests(tmp_path)
    assert request.refused == noted
    assert hint in read_json(tmp_path / "error.json")["hint"]
