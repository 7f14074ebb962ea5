"""What partners agree on: the digest of their common settings, the policy that accepts one experiment, and a coordinator's proposal."""

import hashlib
import json
import os

from fedapp.config import RECORD_DP, Config, flatten
from fedapp.data.catalogue import catalogue_of
from fedapp.model.trunk_shape import layout
from strategies.secagg.messages import PROTOCOL, SessionParameters
from strategies.secagg.policy import Policy
from strategies.secagg.repetition import RepetitionLimits
from strategies.secagg.roster import Roster
from strategies.update.limits import LeakLimits

# What partners must have in common: everything that the trunk depends on.
COMMON = (
    *("chemistry.", "model.", "training.", "privacy.", "evaluation.test_fold", "evaluation.validation_fold", "data.partners"),
    *(
        "federation.rounds",
        "federation.server_learning_rate",
        "federation.momentum",
        "federation.initial_trunk",
        "federation.largest_weight",
    ),
)
OWN = ("chemistry.fold_key_file",)


def propose(config: Config, roster: Roster) -> SessionParameters:
    """What the coordinator of a simulation proposes for a session."""
    return proposed(default_policy(config, roster))


def proposed(policy: Policy) -> SessionParameters:
    """A proposal that fits a policy, fresh."""
    return SessionParameters(
        protocol=PROTOCOL,
        roster=policy.roster,
        configuration=policy.configuration,
        layout=policy.layout,
        word_bits=policy.word_bits[0],
        row_guard=policy.row_guard,
        least_supporters=policy.least_supporters,
        rounds=policy.rounds,
        metrics=policy.metrics,
        nonce=os.urandom(32),
    )


def default_policy(config: Config, roster: Roster) -> Policy:
    """The policy that accepts this experiment and nothing else."""
    return Policy(
        roster=roster.digest(),
        configuration=configuration_digest(config),
        layout=layout(config),
        word_bits=(config.privacy.word_bits,),
        row_guard=config.privacy.row_guard,
        least_supporters=config.privacy.least_supporters,
        rounds=config.federation.rounds,
        metrics=tuple(sorted(config.federation.metrics_shown)),
        least_survivors=roster.minimum,
        repetition=RepetitionLimits.of_run(config.federation.rounds, config.federation.session_rounds),
    )


def default_limits(config: Config) -> LeakLimits:
    """The limits of a partner that wants this experiment's protection.

    With no more compounds than the first layer has units, what each compound adds to the rows is linearly independent, and whole
    fingerprints can be solved for. Whoever turned the row guard off is told by the self-audit what that means, and refuses nothing;
    nor does anybody under record-level privacy, where a refusal that depends on compounds would itself be unpaid for.
    """
    judged = config.privacy.row_guard > 1 and config.privacy.profile != RECORD_DP
    return LeakLimits(least_compounds=config.model.hidden[0]) if judged else LeakLimits(most_identified=1.0)


def configuration_digest(config: Config) -> bytes:
    """SHA-256 of all settings that the trunk depends on, and of the catalogue of common endpoints."""
    common = {key: value for key, value in flatten(config).items() if key.startswith(COMMON) and key not in OWN}
    common["catalogue"] = catalogue_of(config).digest.hex()
    if config.federation.initial_trunk == "seed":
        common["seed"] = config.seed
    return hashlib.sha256(json.dumps(common, sort_keys=True).encode()).digest()
