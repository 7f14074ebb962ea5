"""How Polyphony starts Flower's own commands: quietly, from the environment that runs us, with a state folder of their own."""

import os
import shutil
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedapp.errors import RunError
from fedapp.runtime.toml_file import toml
from fedapp.storage.files import PRIVATE_DIRECTORY, write_text

START_TIMEOUT = 90.0  # seconds for a SuperLink to listen
POLL = 0.3
CONNECTION = "own"  # the SuperLink's name in Flower's configuration
# Flower calls home and reinstalls dependencies unless told not to.
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",  # a container's /dev/shm is small: then messages pass through the temporary folder
    "PYTHONUNBUFFERED": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",  # seconds until a submitted run is seen, and starts
}
# What only talks to this machine is not to ask a proxy for it, whatever the environment, or the system's settings, say of one.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "GRPC_PROXY", "SOCKS_PROXY")
DIRECT = {form: "" for name in PROXIES for form in (name, name.lower())} | {"NO_PROXY": "*", "no_proxy": "*"}


def flower_environment(home: Path, port: int, authority: Path | None = None) -> dict[str, str]:
    """What makes the `flwr` command talk to the SuperLink at a loopback port: variables, and a `config.toml` in `home`.

    Args:
        authority: Certificate by which the SuperLink is recognised; None = no TLS.
    """
    home.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
    security: dict[str, Any] = {"insecure": True} if authority is None else {"root-certificates": str(authority)}
    link = {"address": f"127.0.0.1:{port}", **security}
    write_text(home / "config.toml", toml({"superlink": {"default": CONNECTION, CONNECTION: link}}))
    beside = str(Path(sys.executable).parent)  # Flower starts its own commands by name
    return {**QUIET, **DIRECT, "FLWR_HOME": str(home), "PATH": os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])}


def wait_until_listening(
    port: int, authority: Path | None = None, alive: Callable[[], bool] = lambda: True, patience: float = START_TIMEOUT
) -> bool:
    """Return whether a SuperLink answers on this loopback port, after `patience` seconds at most.

    Args:
        authority: Certificate by which it is recognised; None = no TLS.
        alive: Whether there is any use in waiting.
    """
    import httpx  # Flower's own client, for Flower's own health check

    trust = True if authority is None else ssl.create_default_context(cafile=str(authority))
    url = f"{'http' if authority is None else 'https'}://127.0.0.1:{port}/health"
    deadline = time.monotonic() + patience
    while alive() and time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=1, verify=trust, trust_env=False).is_success:
                return True
        except httpx.HTTPError:
            time.sleep(POLL)
    return False


def script(name: str) -> str:
    """A command of the environment that runs us, also when that is not on PATH.

    Raises:
        RunError: Flower is not installed beside us.
    """
    beside = Path(sys.executable).parent / name
    command = str(beside) if beside.is_file() else shutil.which(name)
    if command is None:
        raise RunError(f"the command {name} is missing", "install Flower: pip install 'flwr[simulation]'")
    return command
