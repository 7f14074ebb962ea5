"""Flower's entry point at a partner: opens the partner's own folder and hands over to the `NumPyClient`."""

import logging
import traceback
from pathlib import Path

from flwr.app import Context, Message
from flwr.client import Client
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from fedapp.errors import ConfigError, PolyphonyError
from fedapp.files import write_json
from fedapp.run_folder import RunFolder, bare_config, bare_run_path
from strategies.plain_trunk_mod import plain_trunk_mod


class PartnerFailedError(Exception):
    """All that the coordinator hears of a failure at a partner: a reason could name a compound, a task or a path."""


def keep_errors_home(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Write the reason of a failure into the partner's own folder, and send a reply that carries none.

    Raises:
        PartnerFailedError: Whatever went wrong; always with the same text.
    """
    try:
        return call_next(message, context)
    except Exception as error:
        remember(error, context)
    raise PartnerFailedError("the partner could not answer; its own log says why")


def remember(error: Exception, context: Context) -> None:
    """Leave `error.json` in the partner's folder; a disk too full even for that leaves the reason in the log alone."""
    logging.getLogger("polyphony").error("%s", "".join(traceback.format_exception(error)))
    try:
        write_json(partner_folder(context) / "error.json", {"error": describe(error), "hint": getattr(error, "hint", "")})
    except (OSError, PolyphonyError) as second:
        logging.getLogger("polyphony").error("could not write error.json: %s", second)


def describe(error: Exception) -> str:
    """One line for a person."""
    return str(error) if isinstance(error, PolyphonyError | OSError) else f"{type(error).__name__}: {error}"


def partner_folder(context: Context) -> Path:
    """This partner's own folder: in simulation, by its partition in the run folder.

    Raises:
        RunError: No run folder.
    """
    run = simulated_run(context)
    return run.partner(run.partners()[int(context.node_config["partition-id"])])


def simulated_run(context: Context) -> RunFolder:
    """The run folder that all simulated partners share a disk with."""
    given = str(context.run_config["run-dir"])
    return RunFolder.open(Path(given) if given else bare_run_path(bare_config(context.run_config), context.run_id))


def open_partner(context: Context) -> Client:
    """The `NumPyClient` over this partner's folder; a bare `flwr run .` makes the demo's data on the way.

    Raises:
        ConfigError: A bare run of anything but the demo, whose partners have no data yet.
    """
    from fedapp.data.dataset import Dataset
    from fedapp.partner import Partner, choose_device

    folder = partner_folder(context)
    run = simulated_run(context)
    config = run.config()
    if not (folder / "dataset").is_dir():
        if config.data.tables != "demo":
            raise ConfigError(
                f"{folder} has no dataset",
                f"`flwr run .` alone runs the demo; for {config.name} use `polyphony simulate conf/{config.name}.yaml`",
            )
        from fedapp.data.demo import demo_dataset

        demo_dataset(folder / "dataset", int(context.node_config["partition-id"]) + 1, config.data.partners, config.chemistry, config.tasks)
    partner = Partner(folder, Dataset.open(folder / "dataset"), config, choose_device())
    (folder / "error.json").unlink(missing_ok=True)
    return partner.to_client()


app = ClientApp(open_partner, mods=[keep_errors_home, plain_trunk_mod])
