"""The coordinator's SuperLink: whoever reaches it can start runs, so nobody outside does, and only registered nodes are let in."""

import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fedapp.errors import RunError
from fedapp.runtime.processes import free_port
from fedapp.site.folder import Site
from fedapp.site.run import serve
from fedapp.storage.json_file import write_json
from tests.site.kits import found
from tests.site.serving import signature, wait_for


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Site:
    founded = found(tmp_path_factory.mktemp("superlink") / "founded")
    site = founded.site(founded.kits("kits"), "coordinator")
    site.log.mkdir(exist_ok=True)
    write_json(site.log / serve.SUPERLINK_FILE, {"port": free_port()})
    return site


def test_it_is_started_for_this_machine_alone_under_tls_and_for_authenticated_nodes_alone(
    coordinator: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    @contextmanager
    def ended_at_once(command: Sequence[str], _log: Path, _environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        started.append(list(command))
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            process.wait()
            yield process

    monkeypatch.setattr(serve, "child", ended_at_once)
    with pytest.raises(RunError, match="SuperLink ended"):
        serve.run_superlink(coordinator)
    (command,) = started
    options = [word for word in command if word.startswith("-")]
    values = {name: command[command.index(name) + 1] for name in ("--host", "--ssl-certfile", "--ssl-keyfile", "--ssl-ca-certfile")}
    assert values == {
        "--host": "127.0.0.1",
        "--ssl-certfile": str(coordinator.tls / "server.crt"),
        "--ssl-keyfile": str(coordinator.tls / "server.key"),
        "--ssl-ca-certfile": str(coordinator.authority),
    }
    assert set(options) == {*values, "--port", "--enable-supernode-auth", "--disable-runtime-dependency-installation"}
    assert len(options) == len(set(options)), "the last of two would count"


def listening(process: psutil.Process) -> set[str]:
    """Addresses at which a process and its descendants can be reached."""
    family = [process, *process.children(recursive=True)]
    return {each.laddr.ip for member in family for each in member.net_connections() if each.status == psutil.CONN_LISTEN}


@pytest.mark.sites
def test_a_started_one_listens_on_loopback_and_nowhere_else_and_answers_no_stranger(coordinator: Site) -> None:
    with subprocess.Popen([sys.executable, "-m", "fedapp.site.run", "superlink", str(coordinator.path)]) as process:
        try:
            wait_for(lambda: listening(psutil.Process(process.pid)), "it listens")
            port, _ = serve.superlink_connection(coordinator)
            kind = {"content-type": "application/protobuf"}
            unknown = signature(ec.generate_private_key(ec.SECP384R1()))
            trust = ssl.create_default_context(cafile=str(coordinator.authority))
            with httpx.Client(verify=trust, trust_env=False, headers=kind) as caller:
                url = f"https://127.0.0.1:{port}/v1/fleet/activate-node"
                answers = [caller.post(url, headers=headers) for headers in ({}, unknown)]
            assert [each.status_code for each in answers] == [401, 401]
            assert listening(psutil.Process(process.pid)) == {"127.0.0.1"}
        finally:
            process.terminate()
