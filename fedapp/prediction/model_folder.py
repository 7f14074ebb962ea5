"""Where a model lies: what people give is a partner's folder in a run, a site, or an exported folder."""

from pathlib import Path

from fedapp.errors import RunError
from fedapp.partner_folder import PartnerFolder
from fedapp.site.folder import SITE_FILE, STATE, Site

HINT = "give a partner's folder in a run, such as RUN/partners/NAME, a partner's site, or a folder that `polyphony export` wrote"


def model_folder(given: Path) -> Path:
    """The folder that holds the model.

    Args:
        given: That folder, or the site of a partner, whose model lies in `state`.
    Raises:
        RunError: No model there; it says what else is there.
        ConfigError: A site with an unusable `site.yaml`.
    """
    if PartnerFolder(given).model.is_file():
        return given
    if (given / SITE_FILE).is_file():
        site = Site.open(given)
        if not site.partner:
            raise RunError(f"{given} is the coordinator's site, which has no model", "each partner has its own, at its own site")
        state = given / STATE
        if not PartnerFolder(state).model.is_file():
            raise RunError(
                f"{given} has no model yet",
                f"the first one is kept when a round's trunk has come home and was evaluated: polyphony status {given}",
            )
        return state
    if given.is_file():
        raise RunError(f"{given} is a file", f"give the folder that it lies in: {given.parent}")
    if not given.is_dir():
        raise RunError(f"no model in {given}: there is no such folder", HINT)
    inside = sorted(folder for folder in given.glob("partners/*") if PartnerFolder(folder).model.exists())
    if inside:
        raise RunError(f"{given} is a run, in which every partner has its own model", f"give one of {', '.join(map(str, inside))}")
    raise RunError(f"no model in {given}: it has no {PartnerFolder(given).model.name}", HINT)
