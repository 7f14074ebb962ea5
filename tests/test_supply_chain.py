"""What a site installs can be checked: a lock with hashes, a bill of materials, one wheel a commit, and an image made of these alone."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from fedapp.runtime.sbom import bill_of_materials
from fedapp.site.kit.make import rendered
from tests.conftest import ROOT
from tests.helpers.docs import commands, section

PAGE = "conf/deployment/README.md"
LOCK = (ROOT / "conf" / "deployment" / "requirements.txt").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINE = re.compile(
    r"#.*"  # by which command, and which package needs it
    r"|(?P<name>[a-z0-9-]+)==(?P<version>[\w.]+) \\"
    r"| {4}--hash=sha256:(?P<hash>[0-9a-f]{64})( \\)?"
    r"| {4}# .*"
)


def locked() -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of each package in the lock; a line of another form is an error."""
    packages: dict[str, tuple[str, list[str]]] = {}
    hashes: list[str] = []
    for text in LOCK.splitlines():
        line = LINE.fullmatch(text)
        assert line, text
        if line["name"]:
            hashes = []
            packages[line["name"]] = (line["version"], hashes)
        elif line["hash"]:
            hashes.append(line["hash"])
    return packages


LOCKED = locked()
MADE_BY = LOCK.splitlines()[1].removeprefix("#").split()
PYTHON = MADE_BY[MADE_BY.index("--python-version") + 1]
THERE = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
}


def wanted(texts: list[str], extras: set[str]) -> list[Requirement]:
    """Requirements that hold where the lock is for."""
    markers = [THERE | {"extra": extra} for extra in ("", *extras)]
    return [each for each in map(Requirement, texts) if each.marker is None or any(map(each.marker.evaluate, markers))]


def missing(texts: list[str], extras: set[str]) -> list[str]:
    """Those that no version in the lock meets."""
    return [str(each) for each in wanted(texts, extras) if not each.specifier.contains(LOCKED.get(canonicalize_name(each.name), ("0",))[0])]


# The lock


def test_every_package_has_a_version_and_hashes_and_there_is_no_word_of_where_it_was_fetched() -> None:
    assert len(LOCKED) > 80
    assert all(hashes for _, hashes in LOCKED.values())
    assert not re.search(r"://|index-url|find-links|trusted-host|file:| @ ", LOCK)


def test_the_lock_meets_every_requirement_of_ours() -> None:
    assert missing(PROJECT["project"]["dependencies"], set()) == []
    assert missing(["numpy>=999"], set()) == ["numpy>=999"], "or nothing would be looked at"


def test_the_lock_is_whole_by_what_its_packages_say_that_they_need() -> None:
    """Of those that are installed here in the version of the lock; `pip --require-hashes` refuses a list with a gap."""
    extras: dict[str, set[str]] = {}
    for name in LOCKED:
        for each in wanted([*PROJECT["project"]["dependencies"], *requires(name)], set()):
            extras.setdefault(canonicalize_name(each.name), set()).update(each.extras)
    looked_at = [name for name in LOCKED if requires(name)]
    assert len(looked_at) > 20
    assert {name: gaps for name in looked_at if (gaps := missing(requires(name), extras.get(name, set())))} == {}


def requires(name: str) -> list[str]:
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return []
    return installed.requires or [] if installed.version == LOCKED[name][0] else []


def test_the_lock_says_by_which_command_it_was_made_and_the_page_says_the_same() -> None:
    (command,) = commands(section(PAGE, "The lock"))
    assert [word for word in shlex.split(command) if word != "--upgrade"] == MADE_BY
    assert PYTHON in SpecifierSet(PROJECT["project"]["requires-python"])


# The bill of materials


def test_the_bill_has_what_polyphony_needs_here_in_the_versions_that_are_installed() -> None:
    bill: Any = bill_of_materials()
    versions = {each["name"]: each["version"] for each in bill["components"]}
    assert versions == {name: distribution(name).version for name in versions}
    direct = [Requirement(text) for text in distribution("polyphony").requires or []]
    assert {canonicalize_name(each.name) for each in direct if each.marker is None} <= set(versions)
    assert {"ray", "cffi"} <= set(versions), "what an extra needs, and what a need needs"
    assert not {"pytest", "ruff", "polyphony"} & set(versions), "what it does not need, and itself"


def test_every_reference_in_the_bill_leads_to_a_package_in_it() -> None:
    bill: Any = bill_of_materials()
    refs = [bill["metadata"]["component"]["bom-ref"], *(each["bom-ref"] for each in bill["components"])]
    assert len(refs) == len(set(refs))
    assert sorted(each["ref"] for each in bill["dependencies"]) == sorted(refs)
    assert {ref for each in bill["dependencies"] for ref in each["dependsOn"]} <= set(refs)
    needed = {ref for each in bill["dependencies"] for ref in each["dependsOn"]}
    assert needed == set(refs) - {refs[0]}, "nothing is in it that nothing needs"


def test_the_bill_tells_no_path_no_host_and_no_time_and_is_the_same_again() -> None:
    command = shlex.split(commands(section(PAGE, "The bill of materials"))[0].partition(" > ")[0])
    assert command[0] == "python"
    printed = subprocess.run([sys.executable, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == bill_of_materials()
    assert not re.search(r"://|/home|/opt|/tmp|\d\d:\d\d", printed)


def test_cyclonedx_finds_no_fault_in_the_bill() -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    judge = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert judge.validate_str(json.dumps(bill_of_materials())) is None
    assert judge.validate_str('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": "all"}') is not None


# The wheel


def run(command: str, folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    done = subprocess.run(["bash", "-ec", command], cwd=folder, env=dict(environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_two_builds_of_a_commit_are_the_same_bytes_whatever_machine_times_modes_and_order(tmp_path: Path) -> None:
    if shutil.which("git") is None or shutil.which("uv") is None or not (ROOT / ".git").exists():
        pytest.skip("a clone, git and uv are needed")
    if find_spec("hatchling") is None:
        pytest.skip("the build backend is not installed, and is not to be fetched by a test")
    archive, build, digest = commands(section(PAGE, "The wheel of a commit"))
    offline = build.replace("uv build", f"uv build --quiet --offline --no-build-isolation --python {shlex.quote(sys.executable)}")
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    run(archive.replace("COMMIT", "HEAD").replace("git ", f"git -C {ROOT} ").replace("=source.tar", f"={one}/source.tar"), one)
    for path in sorted((one / "source").rglob("*"), reverse=True):  # times of now, and entries in another order
        if path.is_file():
            target = other / path.relative_to(one)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for path in (other / "source").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    run(offline, one, environment)
    run(f"umask 077; {offline}", other, environment | {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7"})
    first, second = (run(digest, folder).split() for folder in (one, other))
    assert first == second
    assert re.fullmatch(r"[0-9a-f]{64}", first[0])


def test_the_build_backend_is_one_version_in_the_build_and_in_the_tests() -> None:
    (backend,) = PROJECT["build-system"]["requires"]
    assert re.fullmatch(r"hatchling==[\d.]+", backend)
    assert backend in PROJECT["project"]["optional-dependencies"]["dev"]


# The image


@pytest.fixture(scope="module")
def kit_files() -> dict[str, str]:
    facts = {"consortium": "c", "partners": [], "superlink": "h:1", "host": "h", "port": 1, "network": "", "version": "1.2.3", "memory": 1}
    facts |= {"role": "partner", "name": "alpha", "page": 0, "certificates": False, "catalogue": False, "fold_key": None, "digest": "d"}
    return dict(rendered("partner", facts))


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    lines = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    return [(word, re.sub(r"\s+", " ", rest.strip())) for word, _, rest in (line.partition(" ") for line in lines)]


def test_a_kit_has_the_lock_as_it_is(kit_files: dict[str, str]) -> None:
    assert kit_files["services/requirements.txt"] == LOCK


def test_the_image_installs_the_lock_with_its_hashes_then_the_wheel_and_fetches_nothing(kit_files: dict[str, str]) -> None:
    steps = [json.loads(rest[rest.index("[") :]) for word, rest in instructions(kit_files["services/Dockerfile"]) if word == "RUN"]
    lock, wheel, check = (step for step in steps if step[0] == "pip")
    assert {"--no-index", "--require-hashes"} <= set(lock)
    assert lock[-2:] == ["--requirement", "/opt/polyphony/requirements.txt"]
    assert {"--no-index", "--no-deps", "/wheels/polyphony-1.2.3-py3-none-any.whl"} <= set(wheel)
    assert check == ["pip", "check"]


def test_every_step_of_the_image_is_a_list_of_words_for_no_shell(kit_files: dict[str, str]) -> None:
    for word, rest in instructions(kit_files["services/Dockerfile"]):
        if word in ("RUN", "ENTRYPOINT", "CMD"):
            assert all(isinstance(each, str) for each in json.loads(rest[rest.index("[") :]))
            assert re.fullmatch(r"(--mount=type=bind,\S+ )*", rest[: rest.index("[")])


def test_the_image_has_the_python_that_the_lock_is_for_and_a_base_that_can_be_named_by_digest(kit_files: dict[str, str]) -> None:
    parts = instructions(kit_files["services/Dockerfile"])
    assert [rest for word, rest in parts if word == "FROM"] == ["${BASE}"]
    (base,) = [rest.removeprefix("BASE=") for word, rest in parts if word == "ARG"]
    assert re.fullmatch(rf"python:{re.escape(PYTHON)}-slim-[a-z]+", base)
    assert f"--build-arg BASE={base}@sha256:" in kit_files["services/Dockerfile"]
    assert "pip download --require-hashes --only-binary :all:" in kit_files["services/Dockerfile"]


def test_the_image_runs_as_the_user_that_units_of_other_kinds_name_and_writes_its_site_alone(kit_files: dict[str, str]) -> None:
    parts = instructions(kit_files["services/Dockerfile"])
    (user,) = [rest for word, rest in parts if word == "USER"]
    assert user == "10001:10001"
    assert parts.index(("USER", user)) > max(number for number, (word, _) in enumerate(parts) if word in ("RUN", "COPY"))
    assert "runAsUser: 10001" in kit_files["services/kubernetes.yaml"]
    assert "${POLYPHONY_UID:-10001}" in kit_files["services/compose.yaml"]


def test_the_readme_of_a_kit_installs_the_lock_with_its_hashes_and_then_the_wheel_alone(kit_files: dict[str, str]) -> None:
    told = commands(kit_files["README.md"])
    assert "pip install --require-hashes --only-binary :all: --requirement services/requirements.txt" in told
    assert "pip install --no-deps polyphony-1.2.3-py3-none-any.whl" in told
    assert f"python{PYTHON} -m venv /opt/polyphony" in told
