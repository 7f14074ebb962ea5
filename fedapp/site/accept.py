"""A partner puts a dataset in play, and a site refuses to run with another's data or state.

The dataset is copied into the site, so that what rounds use lies in one place and changes only by being accepted again.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedapp.config import Chemistry, Config
from fedapp.consortium.identity_files import KEY_FILE, load_identity
from fedapp.consortium.policy_file import read_policy_file, write_policy_file
from fedapp.data.catalogue import catalogue_of
from fedapp.data.dataset import DATASET_FOLDER, FILES, Dataset, build_dataset
from fedapp.data.declarations import write_declarations
from fedapp.data.integrity import HEADER, read_header
from fedapp.errors import ConfigError, DataError
from fedapp.partner_folder import PartnerFolder
from fedapp.site.agreed import check_agreed
from fedapp.site.endpoints import UNSAID, Wanted, check_endpoints, chosen, consent
from fedapp.site.folder import SITE_FILE, Site
from fedapp.site.took_part import check_not_lost
from fedapp.storage.json_file import BY_HAND, SEAL, read_json, read_object, read_sealed, write_sealed
from fedapp.storage.live_files import json_object
from fedapp.storage.output import check_folder, output_folder
from fedapp.storage.scratch import scratch
from fedapp.wording import plural

DATASET = "dataset"
OWNED = {"name": str, "fingerprint": str}
BY_A_PERSON = {SEAL: BY_HAND}
AGAIN = "bring it back, or accept it anew: polyphony accept {} DATASET"
PREPARE = "`polyphony prepare TABLES --out DIR SITE/config.yaml` makes one that fits"


def accept(site: Site, source: Path, wanted: Wanted = UNSAID) -> Dataset:
    """Put a dataset in play: copy it to SITE/dataset, name it in site.yaml, and allow it, with the endpoints declared, in policy.yaml.

    Args:
        site: A partner's.
        source: A folder of `polyphony prepare`, of which the dataset is built with the site's tasks, or a finished dataset.
        wanted: What is declared to be an endpoint of the catalogue.
    Raises:
        ConfigError: The coordinator's site, an unusable file in it or one that is not what was agreed on, another dataset than that of
            the rounds that it has trained, or a declaration that cannot be.
        DataError: Neither of the two, made with other settings than the site's, or without a task.
        OutputError: SITE/dataset holds what is not ours to replace.
        BusyError: Another process serves or changes this site.
    """
    if not site.partner:
        raise ConfigError(f"{site.path} is the coordinator's, which has no data", "data is accepted at partners")
    with site.changing("polyphony accept"):
        return _accept(site, source, wanted)


def _accept(site: Site, source: Path, wanted: Wanted) -> Dataset:
    from fedapp.data.prepare import SUMMARY  # imports RDKit, for which a starting site does not wait

    check_agreed(site)
    config, target = site.config(), site.path / DATASET
    policy = read_policy_file(site.policy)
    sources = [] if target.is_dir() and source.is_dir() and source.samefile(target) else [source]
    check_folder(target, DATASET_FOLDER, sources)
    for folder in (source, source.parent):  # `prepare` puts a dataset beside its summary
        if (folder / SUMMARY).is_file():
            _check_chemistry(folder / SUMMARY, config.chemistry)
            _check_fold_key(folder / SUMMARY, site, config.chemistry)
    with _finished(site, source, config) as given:
        if given.digest != (policy.data or _played(site)):
            check_first(site, "another dataset")
        declared = chosen(site, wanted, given)
        dataset = _copy(given.directory, target, site.settings.name, sources)
    site.changed(dataset=DATASET)
    endpoints = catalogue_of(config).by_id
    if declared or site.endpoints.is_file():
        write_declarations(site.endpoints, declared)
    accepted = [consent(group, each, endpoints[each.endpoint]) for group, each in sorted(declared.items())]
    write_policy_file(site.policy, replace(policy, data=dataset.digest, endpoints=accepted))
    return dataset


def _played(site: Site) -> str:
    """Digest of the dataset that was in play before a policy was lost, and brought back from a kit, that names none: what the model says
    it learned from, or else what lies in the site."""
    model, lying = json_object(PartnerFolder(site.state).model_header), site.path / DATASET
    if isinstance(told := model.get("data"), str):
        return told
    return str(read_header(lying)["digest"]) if (lying / HEADER).is_file() else ""


def check_first(site: Site, change: str) -> None:
    """Refuse what only a site can take that has trained no round yet: rounds are chosen by the labels that all of them are judged by.

    Raises:
        ConfigError: It has.
    """
    if trained := max(PartnerFolder(site.state).losses_by_round(), default=0):
        raise ConfigError(
            f"{site.path} has trained {plural(trained, 'round')}, which {change} cannot go on",
            "begin afresh in a new folder: copy keys/, floor.yaml and took-part.json there, then install the kit, accept, write the line "
            "that `polyphony doctor` names, and serve; a partner that does so in the middle of a run takes the trunk over from the others",
        )


@contextmanager
def _finished(site: Site, source: Path, config: Config) -> Iterator[Dataset]:
    """The dataset to be accepted; one that must be built first lies beside the accepted one, until nothing can be wrong with it."""
    from fedapp.data.prepare import SUMMARY  # imports RDKit, for which a starting site does not wait

    if not (source / SUMMARY).is_file():
        dataset = Dataset.open(source)
        _check_header(source, dataset.header, config)
        yield dataset
        return
    with scratch("accepting", (site.path,)) as folder:
        yield build_dataset(source, folder / DATASET, site.settings.name, config.tasks)


def check_data(site: Site) -> None:
    """Refuse to run with data, or with endpoints declared of it, that were not accepted at this site, or that a new kit made unusable.

    Raises:
        ConfigError: None was accepted, an unusable file, or other declarations.
        DataError: The dataset is missing, is another than the policy allows, or was made with other settings than the site's.
    """
    directory, allowed = site.dataset, read_policy_file(site.policy).data
    if not (directory / HEADER).is_file():
        raise DataError(f"{directory} is no dataset, and {site.path / SITE_FILE} names it as the accepted one", AGAIN.format(site.path))
    header = read_header(directory)
    if not allowed:
        raise DataError(
            f"{site.policy} names no dataset: none was accepted, or the policy was lost and is a kit's",
            f"accept what the rounds were trained with: polyphony accept {site.path} {directory}",
        )
    if header["digest"] != allowed:
        raise DataError(
            f"{directory} is not the dataset that {site.policy} accepts: its digest is {header['digest'][:16]}, not {allowed[:16]}",
            f"bring the accepted one back, or accept this one: polyphony accept {site.path} DATASET",
        )
    if header["name"] != site.settings.name:
        named = f"the site is {site.settings.name}'s, as {site.path / SITE_FILE} says"
        raise DataError(f"{directory} is {header['name']}'s, and {named}", AGAIN.format(site.path))
    _check_header(directory, header, site.config())
    check_endpoints(site)


def check_state(site: Site) -> None:
    """Refuse to run on the state of another partner or identity; an empty state that has no owner yet becomes this site's.

    Raises:
        ConfigError: It is another's, or the site has no usable identity.
        DamagedFileError: It is lost, or nobody can say whose it is.
    """
    check_not_lost(site)
    fingerprint = load_identity(site.keys).public.fingerprint()
    state = PartnerFolder(site.state)
    if not (state.owner.is_file() or state.begun()):
        own_state(site)
        return
    ours = _owner(site.settings.name, fingerprint)
    owner = read_sealed(
        state.owner, OWNED, f"bring it back; if this state is this site's own, write {json.dumps(ours | BY_A_PERSON)} into it"
    )
    if owner != ours:
        raise ConfigError(
            f"{site.state} belongs to {owner['name']} with the key {owner['fingerprint'][:17]}…, not to {site.settings.name} with the "
            f"key {fingerprint[:17]}… of {site.keys / KEY_FILE}",
            "put this site's own state and keys in place; after a change of keys, `polyphony kit install` takes the state over",
        )


def own_state(site: Site) -> None:
    """Write down that the state is this site's, under its present identity."""
    write_sealed(PartnerFolder(site.state).owner, _owner(site.settings.name, load_identity(site.keys).public.fingerprint()))


def _owner(name: str, fingerprint: str) -> dict[str, str]:
    return {"name": name, "fingerprint": fingerprint}


def _check_chemistry(summary: Path, chemistry: Chemistry) -> None:
    """Refuse structures that were prepared otherwise: equal bits and folds would mean different things."""
    prepared: dict[str, Any] = read_object(summary, {"chemistry": dict}, PREPARE)["chemistry"]
    asked = vars(chemistry) | {"fold_key": "public" if chemistry.fold_key_file is None else "consortium"}
    for key, value in prepared.items():
        if asked.get(key) != value:
            raise DataError(f"{summary}: prepared with {key} {value}, and the site's is {asked.get(key)}", PREPARE)


def _check_fold_key(summary: Path, site: Site, chemistry: Chemistry) -> None:
    """Refuse folds of another key than the one that lies at the site."""
    from fedapp.chemistry.fold import key_digest, read_key  # imports RDKit, for which a starting site does not wait

    prepared = read_json(summary).get("fold_key_digest")
    if prepared is None or chemistry.fold_key_file is None or not (file := site.path / chemistry.fold_key_file).is_file():
        return
    if prepared != (digest := key_digest(read_key(str(file)))):
        raise DataError(
            f"{summary}: prepared with the fold key {prepared}, and {file} is {digest}", f"{PREPARE}; all partners share one key"
        )


def _check_header(directory: Path, header: Mapping[str, Any], config: Config) -> None:
    """Refuse a dataset of other settings than the site's, as far as it records them."""
    for key, value in (("bits", config.chemistry.bits), ("folds", config.chemistry.folds)):
        if header[key] != value:
            raise DataError(f"{directory}: made with {key} {header[key]}, and the site's is {value}", PREPARE)
    if not header["tasks"]:
        raise DataError(f"{directory} has no task", "tasks.min_per_class says how many labels of each class a task needs")


def _copy(source: Path, target: Path, name: str, sources: Iterable[Path]) -> Dataset:
    """Copy a dataset under the partner's name, of which its seeds are made; one that lies in the site already may stay there."""
    with output_folder(target, DATASET_FOLDER, sources) as folder:
        for file in FILES:
            if (source / file).is_file():  # dropped.csv need not be there
                shutil.copyfile(source / file, folder / file)
        write_sealed(folder / HEADER, read_header(folder) | {"name": name})
    return Dataset.open(target)
