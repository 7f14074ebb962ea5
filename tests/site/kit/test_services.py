"""Service definitions of a kit: accepted by the tools that will read them, closed to what is not needed, and doing what they say."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedapp.consortium.passphrase import CREDENTIAL
from fedapp.site.folder import Site
from fedapp.site.kit.make import make_kits
from fedapp.site.run.door import DESCRIPTORS, Limits
from tests.site.kits import Founded, found

UNITS = {"alpha": ("polyphony-partner",), "coordinator": ("polyphony-coordinator", "polyphony-federate")}
PARTIES = tuple(UNITS)
OUR_PROGRAM = "/opt/polyphony/bin/polyphony"


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    return found(tmp_path_factory.mktemp("services") / "founded")


@pytest.fixture(scope="module")
def kits(founded: Founded) -> Path:
    return founded.kits("kits")


def need(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    return path


def output(*command: str | Path, **options: Any) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def read(kits: Path, party: str, name: str) -> str:
    return (kits / party / "services" / name).read_text()


# systemd


@pytest.fixture
def units(kits: Path, tmp_path: Path) -> list[Path]:
    """All units, with a program that exists here."""
    for party, names in UNITS.items():
        for name in names:
            (tmp_path / f"{name}.service").write_text(read(kits, party, f"{name}.service").replace(OUR_PROGRAM, need("true")))
    return sorted(tmp_path.glob("*.service"))


def test_systemd_finds_no_fault_in_the_units(units: list[Path]) -> None:
    assert output(need("systemd-analyze"), "verify", *units) == ""


def test_systemd_counts_what_is_left_open_as_little(units: list[Path]) -> None:
    for unit in units:  # 0 is closed, 10 is open; the network alone is 1
        output(need("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", unit)


def settings(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


@pytest.mark.parametrize(("party", "name"), [(party, name) for party, names in UNITS.items() for name in names])
def test_a_unit_writes_nothing_but_the_site_and_is_nobody_of_importance(party: str, name: str, kits: Path) -> None:
    held = settings(read(kits, party, f"{name}.service"))
    assert held["ExecStart"].split() == [OUR_PROGRAM, "federate" if name == "polyphony-federate" else "serve", "/var/lib/polyphony"]
    assert (held["ProtectSystem"], held["ReadWritePaths"], held["ProtectHome"]) == ("strict", "/var/lib/polyphony", "true")
    assert (held["User"], held["NoNewPrivileges"], held["CapabilityBoundingSet"]) == ("polyphony", "true", "")
    assert (held["PrivateTmp"], held["UMask"]) == ("true", "0077")
    assert len(held) == sum("=" in line and not line.startswith("#") for line in read(kits, party, f"{name}.service").splitlines())
    assert (held["LimitCORE"], held["MemorySwapMax"]) == ("0", "0"), "what is in memory becomes no file"
    assert held["Restart"] == "on-failure"


def test_a_partners_unit_hands_over_the_passphrase_under_the_name_that_is_read_and_as_no_variable(kits: Path) -> None:
    text = read(kits, "alpha", "polyphony-partner.service")
    assert settings(text)["LoadCredentialEncrypted"] == CREDENTIAL, "a name alone: without such a credential the unit starts as well"
    assert "Environment" not in text


@pytest.mark.parametrize(
    ("overrides", "limits"),
    [((), {"alpha": 16, "coordinator": 8}), (("chemistry.bits=32768", "model.hidden=[4000]"), {"alpha": 16, "coordinator": 15})],
    ids=["a small model", "524 MB"],
)
def test_memory_is_limited_alike_in_unit_container_and_pod_and_by_what_the_rounds_need(
    overrides: tuple[str, ...], limits: dict[str, int], founded: Founded, tmp_path: Path
) -> None:
    make_kits(founded.plan(*overrides), tmp_path / "kits")
    for party, limit in limits.items():
        (unit,) = [name for name in UNITS[party] if name != "polyphony-federate"]
        assert settings(read(tmp_path / "kits", party, f"{unit}.service"))["MemoryMax"] == f"{limit}G"
        (service,) = [
            held for name, held in yaml.safe_load(read(tmp_path / "kits", party, "compose.yaml"))["services"].items() if name != "federate"
        ]
        assert service["mem_limit"] == f"{limit}g"
        assert pod(tmp_path / "kits", party)["containers"][0]["resources"]["limits"]["memory"] == f"{limit}Gi"


def test_files_may_be_open_for_all_connections_that_the_gate_takes(kits: Path) -> None:
    for party, names in UNITS.items():
        for name in names:
            assert settings(read(kits, party, f"{name}.service"))["LimitNOFILE"] == str(DESCRIPTORS)
        for service in yaml.safe_load(read(kits, party, "compose.yaml"))["services"].values():
            assert service["ulimits"]["nofile"] == DESCRIPTORS
    assert Limits().within(DESCRIPTORS) == Limits()
    assert objects(kits, "coordinator")["Service"]["spec"]["externalTrafficPolicy"] == "Local", "or all callers have one address"


def test_a_unit_swaps_nothing_out_and_neither_a_unit_nor_a_container_has_more_than_a_thousand_threads(kits: Path) -> None:
    for party, names in UNITS.items():
        for name in names:
            held = settings(read(kits, party, f"{name}.service"))
            assert (held["TasksMax"], held["MemorySwapMax"]) == ("1000", "0")
            assert re.fullmatch(r"\d+G", held["MemoryMax"])
        for service in yaml.safe_load(read(kits, party, "compose.yaml"))["services"].values():
            assert service["pids_limit"] == 1000


# Docker


@pytest.mark.parametrize("party", PARTIES)
def test_every_container_of_compose_is_locked_up(party: str, kits: Path) -> None:
    services = yaml.safe_load(read(kits, party, "compose.yaml"))["services"]
    assert set(services) == ({"partner"} if party == "alpha" else {"coordinator", "federate"})
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "${POLYPHONY_UID:-10001}:${POLYPHONY_GID:-10001}"
        assert service["volumes"] == ["..:/site"]
        assert service["mem_limit"] == service["memswap_limit"], "no swap"
        assert service["ulimits"]["core"] == 0
        assert service["pids_limit"]
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
        assert "privileged" not in service


def test_compose_opens_one_port_at_the_coordinator_and_none_at_a_partner(kits: Path) -> None:
    assert "ports" not in yaml.safe_load(read(kits, "alpha", "compose.yaml"))["services"]["partner"]
    services = yaml.safe_load(read(kits, "coordinator", "compose.yaml"))["services"]
    assert services["coordinator"]["ports"] == ["9092:9092"]
    assert "ports" not in services["federate"]
    assert services["federate"]["network_mode"] == "service:coordinator"
    assert services["federate"]["profiles"] == ["rounds"], "rounds begin when somebody says so"


@pytest.mark.parametrize("party", PARTIES)
def test_docker_compose_reads_its_file(party: str, kits: Path) -> None:
    if subprocess.run([need("docker"), "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker has no compose")
    output("docker", "compose", "--file", kits / party / "services" / "compose.yaml", "config", "--quiet")


# Kubernetes


def objects(kits: Path, party: str) -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(read(kits, party, "kubernetes.yaml"))}


def pod(kits: Path, party: str) -> dict[str, Any]:
    spec: dict[str, Any] = objects(kits, party)["StatefulSet"]["spec"]["template"]["spec"]
    return spec


def at(tree: Any, name: str) -> Any:
    """A field, or the item of that name in a list of named ones."""
    return next(each for each in tree if each["name"] == name) if isinstance(tree, list) else tree[name]


def fields(tree: Any) -> set[tuple[str, ...]]:
    """Paths of all fields; items of a list go by their name, or by their place."""
    if isinstance(tree, dict):
        return {(key, *rest) for key, value in tree.items() for rest in fields(value)}
    if isinstance(tree, list):
        return {
            (str(each["name"]) if isinstance(each, dict) and "name" in each else str(place), *rest)
            for place, each in enumerate(tree)
            for rest in fields(each)
        }
    return {()}


@pytest.mark.parametrize("party", PARTIES)
def test_kubernetes_knows_every_field_of_the_workload(party: str, kits: Path, tmp_path: Path) -> None:
    """kubectl reads it into the types of its version, and drops what they do not have."""
    ours = objects(kits, party)["StatefulSet"]
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(ours))
    command = [need("kubectl"), "set", "env", "--local", "--filename", str(tmp_path / "ours.yaml"), "--output", "yaml", "A=b"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert fields(ours) <= fields(yaml.safe_load(done.stdout))


@pytest.mark.parametrize("party", PARTIES)
def test_a_pod_runs_as_nobody_and_every_container_is_locked_up(party: str, kits: Path) -> None:
    spec = pod(kits, party)
    assert spec["automountServiceAccountToken"] is False
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (True, 10001)
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert not any("hostPath" in volume for volume in spec["volumes"])
    for container in [*spec["initContainers"], *spec["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]
        assert not container["image"].endswith(":latest")


@pytest.mark.parametrize(("party", "secret", "where"), [("alpha", "keys", "/site/keys"), ("coordinator", "tls", "/site/tls")])
def test_secrets_lie_in_memory_and_only_the_first_container_sees_the_secret_itself(party: str, secret: str, where: str, kits: Path) -> None:
    spec = pod(kits, party)
    assert at(spec["volumes"], secret)["emptyDir"]["medium"] == "Memory"
    assert at(spec["volumes"], "secret")["secret"] == {"secretName": f"polyphony-{secret}", "defaultMode": 0o440}
    assert {"name": secret, "mountPath": where} in spec["containers"][0]["volumeMounts"]
    for container in spec["containers"]:
        assert not {"secret", "kit"} & {mount["name"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("party", PARTIES)
def test_one_identity_never_runs_twice(party: str, kits: Path) -> None:
    spec = objects(kits, party)["StatefulSet"]["spec"]
    assert spec["replicas"] == 1
    assert spec["volumeClaimTemplates"][0]["spec"]["accessModes"] == ["ReadWriteOncePod"]


@pytest.mark.parametrize("party", PARTIES)
def test_what_selects_a_pod_is_on_it(party: str, kits: Path) -> None:
    held = objects(kits, party)
    labels = held["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert held["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert held["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    if party == "coordinator":
        assert held["Service"]["spec"]["selector"] == labels


def test_nothing_comes_in_at_a_partner_and_its_name_server_and_the_coordinators_port_are_all_that_it_reaches(kits: Path) -> None:
    policy = objects(kits, "alpha")["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert [sorted(port["port"] for port in rule["ports"]) for rule in policy["egress"]] == [[9092], [53, 53]]


@pytest.mark.parametrize(("superlink", "network"), [("10.1.2.3:7000", "10.1.2.3/32"), ("[fd00::1]:7000", "fd00::1/128")])
def test_where_the_coordinator_has_an_address_a_partner_reaches_nothing_else(
    superlink: str, network: str, founded: Founded, tmp_path: Path
) -> None:
    make_kits(founded.plan(superlink=superlink, certificates=False), tmp_path / "kits")
    assert objects(tmp_path / "kits", "alpha")["NetworkPolicy"]["spec"]["egress"] == [
        {"to": [{"ipBlock": {"cidr": network}}], "ports": [{"protocol": "TCP", "port": 7000}]}
    ]


def test_the_coordinator_is_reached_at_one_port_and_reaches_nobody(kits: Path) -> None:
    held = objects(kits, "coordinator")
    policy = held["NetworkPolicy"]["spec"]
    assert policy["ingress"] == [{"ports": [{"protocol": "TCP", "port": 9092}]}]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy
    assert [port["port"] for port in held["Service"]["spec"]["ports"]] == [9092]


# What containers run, run here


@pytest.mark.parametrize("party", PARTIES)
def test_no_probe_ends_a_party_because_it_needs_attention(party: str, kits: Path) -> None:
    """As `/health` of its page would, whose answer is meant for people: a partner that waits for the coordinator is well."""
    for name in ("compose.yaml", "kubernetes.yaml"):
        assert "/health" not in read(kits, party, name)
        assert "httpGet" not in read(kits, party, name)


@pytest.mark.parametrize("source", ["compose", "kubernetes"])
def test_a_supernode_that_stopped_giving_signs_of_life_is_not_healthy(source: str, kits: Path, tmp_path: Path) -> None:
    if source == "compose":
        probe = yaml.safe_load(read(kits, "alpha", "compose.yaml"))["services"]["partner"]["healthcheck"]["test"][1].replace("$$", "$")
    else:
        probe = pod(kits, "alpha")["containers"][0]["livenessProbe"]["exec"]["command"][2]
    state = tmp_path / "log" / "supernode.json"

    def healthy() -> bool:
        return not subprocess.run(["sh", "-c", probe.replace("/site", str(tmp_path))], capture_output=True, check=False).returncode

    assert not healthy()
    state.parent.mkdir()
    state.write_text("{}")
    assert healthy()
    os.utime(state, (time.time() - 200, time.time() - 200))
    assert not healthy()


@pytest.mark.parametrize("party", PARTIES)
def test_the_first_container_makes_a_site_of_flat_files_and_leaves_one_that_is_there_alone(
    party: str, founded: Founded, kits: Path, tmp_path: Path
) -> None:
    secret = founded.keys(party) if party == "alpha" else kits / party / "tls"
    own = tmp_path / "site" / ("keys" if party == "alpha" else "tls")
    (tmp_path / "kit").mkdir()
    for path in (kits / party).iterdir():  # a ConfigMap has no folders
        if path.is_file():
            shutil.copy(path, tmp_path / "kit")
    own.mkdir(parents=True)
    shutil.copytree(secret, tmp_path / "secret")
    command = pod(kits, party)["initContainers"][0]
    text = re.sub(r"(?<=[ ])/(kit|site|secret)\b", rf"{tmp_path}/\1", command["args"][0])
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    output(*command["command"], text, env=environment)
    site = Site.open(tmp_path / "site")
    assert site.settings.name == party
    assert {stat.S_IMODE(path.stat().st_mode) for path in own.iterdir()} == {0o600}
    assert sorted(path.name for path in own.iterdir()) == sorted(path.name for path in secret.iterdir())
    seed = site.config().seed
    site.changed(page=7777)
    output(*command["command"], text, env=environment)
    assert Site.open(site.path).settings.page == 7777
    assert site.config().seed == seed


def test_rounds_in_a_pod_are_tried_again_until_they_are_finished_and_end_when_told(kits: Path, tmp_path: Path) -> None:
    container = at(pod(kits, "coordinator")["containers"], "federate")
    for name, text in {
        "polyphony": f'echo "$@" >> {tmp_path}/calls; test $(wc -l < {tmp_path}/calls) -ge 3',
        "sleep": f'echo "$@" >> {tmp_path}/sleeps; test "$1" = 60 || exec {need("sleep")} "$1"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    running = subprocess.Popen([*container["command"], *container["args"]], env=environment)
    try:
        deadline = time.monotonic() + 20
        while not (tmp_path / "sleeps").is_file() or "infinity" not in (tmp_path / "sleeps").read_text():
            assert time.monotonic() < deadline
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=10)
    finally:
        running.kill()
    assert (tmp_path / "calls").read_text().splitlines() == ["federate /site"] * 3
    assert (tmp_path / "sleeps").read_text().splitlines() == ["60", "60", "infinity"]
