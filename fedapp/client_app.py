"""Flower's entry point at a partner: opens the partner's own folder and hands over to the `NumPyClient`."""

import logging
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from flwr.app import Context, Message
from flwr.client import Client
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from fedapp.config import Config, saved_config
from fedapp.config_check import RECORD_DP
from fedapp.data.dataset import Dataset
from fedapp.errors import ConfigError, PolyphonyError, explained
from fedapp.files import reading, write_json
from fedapp.first_trunk import first_trunk
from fedapp.membership import IDENTITY, POLICY, ROSTER, changed, open_membership, trunk_shapes
from fedapp.privacy.holders import Holders
from fedapp.privacy.row_guard import support
from fedapp.privacy.weight import weight_of
from fedapp.record_privacy import private_support
from fedapp.request_log import Request, note_request
from fedapp.run_folder import RunFolder, bare_config, bare_run_path, now
from fedapp.seeds import derived_seed
from fedapp.site.accept import check_data, check_state
from fedapp.site.floor import check_floor
from fedapp.site.folder import Site
from strategies import records
from strategies.house import ROW_LIST, House, Membership
from strategies.plain_trunk_mod import plain_trunk_mod
from strategies.secagg.errors import MalformedMessageError, OutOfOrderError
from strategies.secure_trunk_mod import secure_trunk_mod

SITE = "site"  # in the node's own configuration: where its site is


class PartnerFailedError(Exception):
    """All that the coordinator hears of a failure at a partner: a reason could name a compound, a task or a path."""


def keep_errors_home(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Log the request; write the reason of a failure into the partner's own folder, and send a reply that carries none.

    Raises:
        PartnerFailedError: Whatever went wrong; always with the same text.
    """
    started = time.monotonic()
    number = message.metadata.group_id[: records.LONGEST_QUOTE]
    step, size = (records.step(message.content), records.payload_bytes(message.content)) if message.has_content() else ("", 0)

    def note(answered: int, refused: str) -> None:
        request = Request(now(), context.run_id, step, number, size, answered, round(time.monotonic() - started, 3), refused)
        note_request(partner_folder(context), request)

    try:
        if not message.has_content():
            raise MalformedMessageError("a request without content")
        reply = call_next(message, context)
        note(records.payload_bytes(reply.content), "")
        return reply
    except Exception as error:
        reason = f"{type(error).__name__}: {describe(error)}"
        remember(error, context, lambda: note(0, reason))
    raise PartnerFailedError("the partner could not answer; its own log says why")


def remember(error: Exception, context: Context, note: Callable[[], None]) -> None:
    """Leave `error.json` in the partner's folder; at a site the reason is in its own log too.

    In a simulation the log is everybody's, and hears no more than what kind of error it was.
    """
    told = "".join(traceback.format_exception(error))
    logging.getLogger("polyphony").error("%s", told if SITE in context.node_config else f"a partner failed: {type(error).__name__}")
    try:
        note()
        path = partner_folder(context) / "error.json"
        if not (isinstance(error, OutOfOrderError) and path.is_file()):  # a session that was refused says why, not what follows
            write_json(path, {"error": describe(error), "hint": hint_of(error), "traceback": told})
    except (OSError, PolyphonyError) as second:
        logging.getLogger("polyphony").error("could not write error.json: %s", second)


def describe(error: Exception) -> str:
    """One line for a person."""
    known = explained(error)
    return f"{type(error).__name__}: {error}" if known is None else str(known)


def hint_of(error: Exception) -> str:
    """What to do about it, if that is known."""
    known = explained(error)
    return str(getattr(error, "hint", "")) if known is None else known.hint


@dataclass(frozen=True)
class Place:
    """Where a partner lives.

    Attributes:
        name: As in the roster.
        folder: Its own, private.
        dataset: Its dataset.
        config: The experiment.
        partners: Most partners in a sum.
        membership: Reads its keys, roster and policy.
        partition: Its number in a simulation, from 0; None at a site.
    """

    name: str
    folder: Path
    dataset: Path
    config: Config
    partners: int
    membership: Callable[[], Membership]
    partition: int | None = None


def partner_folder(context: Context) -> Path:
    """This partner's own folder.

    Raises:
        ConfigError: No site.
        RunError: No run folder.
    """
    if SITE in context.node_config:
        return Site.open(Path(str(context.node_config[SITE]))).state
    run = simulated_run(context)
    return run.partner(run.partners()[int(context.node_config["partition-id"])])


def place(context: Context) -> Place:
    """This partner's place: what its own node says, whatever the coordinator does.

    Raises:
        ConfigError: No site, or not the data that its policy accepts.
        RunError: No run folder.
    """
    if SITE in context.node_config:
        return site_place(Site.open(Path(str(context.node_config[SITE]))))
    run, folder = simulated_run(context), partner_folder(context)
    config = read_config(run.path / "config.yaml", changed(run.path / "config.yaml"))
    membership = partial(open_membership, folder / IDENTITY, run.path / ROSTER, folder / POLICY)
    partition = int(context.node_config["partition-id"])
    return Place(folder.name, folder, folder / "dataset", config, config.data.partners, membership, partition)


def site_place(site: Site) -> Place:
    """A partner at its own premises.

    Raises:
        ConfigError: Its data or its state are not those that it may use, or its terms lie below its own floor.
    """
    check_floor(site)
    check_data(site)
    check_state(site)
    path = site.path / "config.yaml"
    config = read_config(path, changed(path))
    membership = partial(open_membership, site.keys, site.roster, site.policy)
    return Place(site.settings.name, site.state, site.dataset, config, config.data.partners, membership)


def simulated_run(context: Context) -> RunFolder:
    """The run folder of a simulation."""
    given = str(context.run_config["run-dir"])
    return RunFolder.open(Path(given) if given else bare_run_path(bare_config(context.run_config), context.run_id))


@lru_cache(maxsize=8)
def read_config(path: Path, _changed: int) -> Config:
    """The experiment, read once per process and version of its file: parsing takes longer than a short phase."""
    return saved_config(path)


@lru_cache(maxsize=16)
def read_holders(directory: Path, _digest: str, folds: tuple[int, ...]) -> Holders:
    """What the self-audit asks of a dataset, counted once per process and version of it."""
    dataset = Dataset.open(directory)
    return Holders.of(*dataset.fingerprints(dataset.rows_in(folds)), dataset.bits)


def open_partner(context: Context) -> Client:
    """The `NumPyClient` over this partner's folder.

    Raises:
        ConfigError: No dataset.
    """
    from fedapp.model.training import choose_device
    from fedapp.partner import Partner

    own = place(context)
    folder = own.folder
    partner = Partner(folder, open_dataset(own), own.config, choose_device(), read_row_list(folder))
    (folder / "error.json").unlink(missing_ok=True)
    return partner.to_client()


def read_row_list(folder: Path) -> np.ndarray | None:
    """Rows that may leave, bool; None before partners agreed on any.

    Raises:
        DamagedFileError: The list is damaged.
    """
    path = folder / ROW_LIST
    if not path.is_file():
        return None
    with reading(path, "remove it: the next training writes it anew"):
        rows: np.ndarray = np.load(path, allow_pickle=False)
        if rows.dtype != np.bool_ or rows.ndim != 1:
            raise ValueError(f"{rows.dtype} with {rows.ndim} dimensions, not a list of bool")
        return rows


def open_dataset(own: Place) -> Dataset:
    """This partner's dataset; a bare `flwr run .` makes the demo's on the way.

    Raises:
        ConfigError: A bare run of anything but the demo, whose partners have no data yet.
    """
    config = own.config
    if not own.dataset.is_dir():
        if config.data.tables != "demo" or own.partition is None:
            raise ConfigError(
                f"{own.dataset.parent} has no dataset",
                f"`flwr run .` alone runs the demo; for {config.name} use `polyphony simulate conf/{config.name}.yaml`",
            )
        from fedapp.data.demo import demo_dataset

        demo_dataset(own.dataset, own.partition + 1, config.data.partners, config.chemistry, config.tasks)
    return Dataset.open(own.dataset)


def open_house(context: Context) -> House:
    """What the mod needs of this partner's house; nothing here imports torch or rdkit before it is called for."""
    own = place(context)
    folder, config = own.folder, own.config

    def supported() -> np.ndarray:
        dataset = open_dataset(own)
        if config.privacy.profile == RECORD_DP:
            return private_support(folder, dataset, config)
        rows = dataset.rows_in(config.training_folds())
        return support(dataset.x_indptr, dataset.x_indices, rows, config.chemistry.bits, config.privacy.row_guard)

    def holders() -> Holders:
        dataset = open_dataset(own)
        return read_holders(dataset.directory, dataset.digest, tuple(config.training_folds()))

    return House(
        directory=folder,
        membership=own.membership() if config.aggregation == "secure" else None,
        support=supported,
        holders=holders,
        first_trunk=lambda key: first_trunk(config, key),
        shapes=trunk_shapes(config),
        partners=own.partners,
        word_bits=config.privacy.word_bits,
        value_range=config.privacy.range,
        server_learning_rate=config.federation.server_learning_rate,
        row_guard=0 if config.privacy.profile == RECORD_DP else config.privacy.row_guard,
        weight=lambda: weight_of(len(open_dataset(own).y_labels), config.federation.largest_weight),
        largest_weight=config.federation.largest_weight,
        seed=lambda number, attempt: derived_seed(config.seed, "rounding", own.name, number, attempt),
        metrics=tuple(sorted(config.federation.metrics_shown)),
        threads=max(1, (os.cpu_count() or 1) // (1 if own.partition is None else own.partners)),
    )


def trunk_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Masks, or plain words, as the run says."""
    secure = place(context).config.aggregation == "secure"
    return (SECURE if secure else PLAIN)(message, context, call_next)


SECURE, PLAIN = secure_trunk_mod(open_house), plain_trunk_mod(open_house)
app = ClientApp(open_partner, mods=[keep_errors_home, trunk_mod])
