"""`python -m fedapp.runtime.sbom`: what this installation consists of, as a software bill of materials in CycloneDX's JSON, version 1.6.

It lists the installed packages that Polyphony needs here, as they describe themselves, and which needs which. Two calls in one
installation print the same; that the packages are those of the lock is for `pip install --require-hashes` to see to.
"""

import json
import platform
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = "polyphony"
CLASSIFIER = "License :: "
LONGEST = 100  # characters of a licence's name; some packages put its whole text there


def bill_of_materials() -> dict[str, object]:
    """The bill of this installation."""
    needs = _needs()
    packages = {name: _component(distribution(name)) for name in sorted(needs)}
    refs = {name: str(package["bom-ref"]) for name, package in packages.items()}
    ours = packages.pop(OURS)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": ours | {"type": "application"},
            "properties": [
                {"name": "polyphony:python", "value": platform.python_version()},
                {"name": "polyphony:platform", "value": f"{platform.system()} {platform.machine()}"},
            ],
        },
        "components": list(packages.values()),
        "dependencies": [{"ref": refs[name], "dependsOn": sorted(refs[each] for each in needs[name])} for name in sorted(needs)],
    }


def _needs() -> dict[str, set[str]]:
    """Each package that is installed and needed, ours first, and which it needs itself."""
    needs: dict[str, set[str]] = {}
    seen, ahead = set(), [(OURS, frozenset[str]())]
    while ahead:
        name, extras = ahead.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        needs.setdefault(name, set())
        for requirement in _requirements(name, extras):
            needed = canonicalize_name(requirement.name)
            if _installed(needed):
                needs[name].add(needed)
                ahead.append((needed, frozenset(requirement.extras)))
    return needs


def _requirements(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """What a package needs on this machine, with some of its extras."""
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _installed(name: str) -> bool:
    """Whether a package is there; a build of torch without GPU libraries, for one, goes without some that others need."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _component(package: Distribution) -> dict[str, object]:
    name = canonicalize_name(package.metadata["Name"])
    purl = f"pkg:pypi/{name}@{quote(package.version)}"
    described = {"type": "library", "bom-ref": purl, "name": name, "version": package.version, "purl": purl}
    licences = _licences(package)
    return described | ({"licenses": licences} if licences else {})


def _licences(package: Distribution) -> list[dict[str, object]]:
    """An SPDX expression, or names of licences; nothing where a package says nothing that is short."""
    said = package.metadata
    if "License-Expression" in said:
        return [{"expression": said["License-Expression"]}]
    listed = [each for each in said.get_all("Classifier") or [] if each.startswith(CLASSIFIER)]
    names = [each.rpartition(" :: ")[2] for each in listed] or [" ".join(said["License"].split()) if "License" in said else ""]
    return [{"license": {"name": name}} for name in dict.fromkeys(names) if 0 < len(name) <= LONGEST]


if __name__ == "__main__":
    print(json.dumps(bill_of_materials(), indent=1))
