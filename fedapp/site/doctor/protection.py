"""What `polyphony doctor` finds about a partner's protection: its terms against its own floor, and what attacks on its updates told."""

from fedapp.config import RECORD_DP
from fedapp.data.catalogue import catalogue_of
from fedapp.data.dataset import Dataset
from fedapp.partner_folder import PartnerFolder
from fedapp.site.declared_tasks import declared_tasks
from fedapp.site.doctor.checks import CheckFinding, ok, warn
from fedapp.site.endpoints import NAMED, check_endpoints, declared
from fedapp.site.floor import DEFAULT, check_floor, shortfalls, terms_of
from fedapp.site.folder import Site
from fedapp.site.status.attention import leaks
from fedapp.site.terms import in_words, too_few_supporters
from fedapp.storage.live_files import records
from fedapp.wording import plural
from strategies.update.row_guard import support
from strategies.update.self_audit import ROW_LIST, Audited

LOST_AUDITS = "what was found in these rounds is not known any more; look what damages this disk, and mind what later rounds tell"
IN_PLAY = "a head is in play where three partners or more qualify, as polyphony status tells"


def floor(site: Site) -> CheckFinding:
    """Policy and experiment do not fall below what the site itself asks for, and how that compares with what ships."""
    check_floor(site)
    terms = terms_of(site)
    weaker = shortfalls(terms, DEFAULT)
    if weaker:
        return warn(
            f"{site.floor} holds, and allows weaker terms than the defaults: {'; '.join(weaker.values())}",
            f"if that is not meant, raise {site.floor}, and ask for a kit that reaches it",
        )
    shown = f"{' and '.join(terms.metrics_shown)} shown" if terms.metrics_shown else "no metric shown"
    guarded = f"epsilon {terms.epsilon:g}" if terms.noisy else f"row guard {terms.row_guard}, {terms.least_supporters} supporters a row"
    return ok(f"policy and experiment hold {site.floor}: {guarded}, {shown}")


def supporters(site: Site) -> CheckFinding:
    """A row has supporters enough for as many partners that work together as the roster's threshold tolerates."""
    terms = terms_of(site)
    few = too_few_supporters(terms)
    return warn(few, "ask for a kit with that setting; fewer rows are shared then") if few else ok(in_words(terms)["supporters"])


def rows(site: Site) -> CheckFinding:
    """How many rows of the first layer our own compounds let pass the row guard: with none, rounds would be worth nothing to us."""
    config, data = site.config(), Dataset.open(site.dataset)
    guard, bits = config.privacy.row_guard, config.chemistry.bits
    if config.privacy.profile == RECORD_DP:
        return ok(f"chosen among {bits:,} with noise")
    passing = int(support(data.x_indptr, data.x_indices, data.rows_in(config.training_folds()), bits, guard).sum())
    if passing:
        return ok(f"{passing:,} of {bits:,} are of bits that {max(guard, 1)} or more of our training compounds hold")
    return warn(
        f"no bit is held by {guard} or more of our training compounds: none of our rows would leave, and this site would learn nothing "
        "with the others",
        "accept a larger dataset; or agree with all partners on shorter fingerprints (chemistry.bits)",
    )


def endpoints(site: Site) -> CheckFinding:
    """Which of our tasks have a part in shared heads: none without a declaration, and none of few labels."""
    config = site.config()
    catalogue = catalogue_of(config)
    if not catalogue.endpoints:
        return ok("no catalogue of common endpoints")
    check_endpoints(site)
    least, known = config.privacy.endpoint_labels, plural(len(catalogue.endpoints), "endpoint")
    found = declared_tasks(Dataset.open(site.dataset), config, declared(site))
    if not found:
        return ok(f"none of our tasks is declared to be one of the {known} of the catalogue")
    lacking = [f"{each.name} ({each.lacks})" for each in found if each.lacks]
    qualify = "qualifies" if len(found) == 1 else "qualify"
    told = f"{len(found) - len(lacking):,} of {plural(len(found), 'declared task')} {qualify} for a part in a shared head"
    if not lacking:
        return ok(f"{told}, with {least:,} training compounds or more; {IN_PLAY}")
    more = f" and {len(lacking) - NAMED:,} more" if len(lacking) > NAMED else ""
    return warn(
        f"{told}; not {', '.join(lacking[:NAMED])}{more}; {IN_PLAY}",
        f"these are learned by their own heads alone; a part takes {least:,} training compounds (privacy.endpoint_labels), of both classes",
    )


def self_audit(site: Site) -> CheckFinding:
    """What attacks on this site's updates, row lists and the sums that came home told of its compounds."""
    problems = list[str]()
    audits = records(PartnerFolder(site.state).audits, Audited, problems)
    concerns = leaks(terms_of(site), audits)
    if problems:  # what the lost lines told is not known: whatever is left does not speak for all rounds
        return warn(" ".join([*problems, *(concern.told for concern in concerns)]), LOST_AUDITS)
    vectors = [audit for audit in audits if audit.vector != ROW_LIST]
    if not vectors and not concerns:
        return ok("no update of ours was attacked yet")
    if concerns:
        return warn(" ".join(concern.told for concern in concerns), " ".join(dict.fromkeys(concern.hint for concern in concerns)))
    return ok(
        f"names none of {plural(audits[-1].compounds, 'training compound')}, "
        f"in updates and sums of {plural(len({audit.round for audit in vectors}), 'round')}"
    )
