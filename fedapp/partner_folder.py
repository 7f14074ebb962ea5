"""A partner's private folder, at a site (`SITE/state`) or in a simulation (`RUN/partners/NAME`): every name in it, once.

Folders have mode 0700, files 0600, and each is written whole, or line by line with whole lines. Nothing leaves by itself but what the
protocol sends: masked words, and the trunk encrypted for another partner. What may leave otherwise is the partner's to give away.

    file                          written by                         what it says                                      may leave
    protocol.state                strategies.partner.secure_partner  the protocol's state, secrets of a session        never
    shared.safetensors            strategies.partner.held_trunk      the trunk that all partners hold alike            encrypted
    shared-before.safetensors     strategies.partner.held_trunk      the trunk one round earlier, which partners go    encrypted
                                                                     back to where too few finished the last round
    sums.jsonl                    strategies.partner.trunk_in_session what was found in each sum, a line a round        with a report
    self_audit.jsonl              strategies.partner.departure       what attacks found in an update before it left,   with a report
                                                                     in each sum and row list
    rows.npy                      strategies.partner.side            rows that may leave: own support within the       no
                                                                     agreed list
    repetition.json               strategies.partner.repetition      what was repeated: trainings that left masked,    no
                                                                     none of which does twice; signed lists, sessions
    transcript-xxxxxxxx.jsonl     strategies.partner.own_transcript  what was seen and sent under one roster, signed   to compare it
    state/round-0007.safetensors  fedapp.partner.kept_rounds         heads, private rows and optimiser after the       never
                                                                     training of round 7; the last three are kept
    metrics/round-0007.parquet    fedapp.partner.kept_rounds         how the trunk of round 7 did with these heads     with a report
    loss/round-0007.json          fedapp.partner.kept_rounds         the training of round 7                           with a report
    model.safetensors             fedapp.model.saved_model           trunk, private rows in it and heads of the best   by export
                                                                     round so far, and of the own model where that
                                                                     predicts too, with all that predicting takes
    model.json                    fedapp.model.saved_model           its header once more, for people                  by export
    scores.parquet                fedapp.evaluation.scores           what that model says of each label that it is     never
                                                                     chosen and judged by
    local                         fedapp.partner.local_model         a folder like this one: the partner's own model,  never
                                                                     trained beside the federated one
    choice.json                   fedapp.partner.combined_model      which of the two predicts, or both                with a report
    privacy-budget.json           fedapp.privacy.budget              what was paid for under record-level privacy      no
    support.npy                   fedapp.partner.record_privacy      rows that were chosen with noise                  no
    requests.jsonl                fedapp.site.request_log            what was asked and answered, a line a request     no
    error.json                    fedapp.partner.errors_at_home      why the last request could not be answered        no
    owner.json                    fedapp.site.accept                 at a site: whose state this is                    no
    inbox                         fedapp.site.run.inbox              at a site: requests that are not answered yet     no
    dataset                       simulation.preparation             in a simulation: the partner's compounds          never
    identity                      fedapp.consortium.membership       in a simulation: its keys                         identity.pub alone
    policy.yaml                   fedapp.consortium.membership       in a simulation: the least that it accepts        no

At a site the last three lie beside this folder (`fedapp.site.folder`).
"""

from dataclasses import dataclass
from pathlib import Path

ROUND = "round-"


@dataclass(frozen=True)
class PartnerFolder:
    """Paths in the folder, whether anything is there or not; an arm of a comparison, or an exported model, has some of them."""

    path: Path

    def begun(self) -> bool:
        """Whether this partner took part before: what it has kept since is then lost if it is not there."""
        left = any(path.exists() for path in (self.protocol, self.audits, self.support))
        return left or bool(self.losses_by_round()) or bool(self.states_by_round())

    def answered(self) -> bool:
        """Whether a request may have been answered with this folder: what was repeated is then lost if it is not there."""
        return any(path.exists() for path in (self.repetition, self.protocol, self.shared_trunk, self.audits))

    @property
    def protocol(self) -> Path:
        return self.path / "protocol.state"

    @property
    def shared_trunk(self) -> Path:
        return self.path / "shared.safetensors"

    @property
    def trunk_before(self) -> Path:
        return self.path / "shared-before.safetensors"

    @property
    def sums(self) -> Path:
        return self.path / "sums.jsonl"

    @property
    def audits(self) -> Path:
        return self.path / "self_audit.jsonl"

    @property
    def rows(self) -> Path:
        return self.path / "rows.npy"

    @property
    def repetition(self) -> Path:
        return self.path / "repetition.json"

    def transcript(self, roster_digest: bytes) -> Path:
        """The transcript under this roster."""
        return self.path / f"transcript-{roster_digest.hex()[:8]}.jsonl"

    def transcripts(self) -> list[Path]:
        """Those under every roster."""
        return sorted(self.path.glob("transcript-*.jsonl"))

    @property
    def states(self) -> Path:
        return self.path / "state"

    def state_of(self, number: int) -> Path:
        """What a training left for the next round."""
        return self.states / f"{ROUND}{number:04d}.safetensors"

    def states_by_round(self) -> dict[int, Path]:
        return _by_round(self.states, ".safetensors")

    @property
    def metrics(self) -> Path:
        return self.path / "metrics"

    def metrics_of(self, number: int) -> Path:
        """The metrics of one round's trunk."""
        return self.metrics / f"{ROUND}{number:04d}.parquet"

    def metrics_by_round(self) -> dict[int, Path]:
        return _by_round(self.metrics, ".parquet")

    @property
    def losses(self) -> Path:
        return self.path / "loss"

    def loss_of(self, number: int) -> Path:
        """The training of one round."""
        return self.losses / f"{ROUND}{number:04d}.json"

    def losses_by_round(self) -> dict[int, Path]:
        return _by_round(self.losses, ".json")

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def model_header(self) -> Path:
        return self.path / "model.json"

    @property
    def scores(self) -> Path:
        return self.path / "scores.parquet"

    @property
    def local(self) -> Path:
        return self.path / "local"

    @property
    def choice(self) -> Path:
        return self.path / "choice.json"

    @property
    def budget(self) -> Path:
        return self.path / "privacy-budget.json"

    @property
    def support(self) -> Path:
        return self.path / "support.npy"

    @property
    def requests(self) -> Path:
        return self.path / "requests.jsonl"

    @property
    def error(self) -> Path:
        return self.path / "error.json"

    @property
    def owner(self) -> Path:
        return self.path / "owner.json"

    @property
    def inbox(self) -> Path:
        return self.path / "inbox"

    @property
    def dataset(self) -> Path:
        return self.path / "dataset"

    @property
    def identity(self) -> Path:
        return self.path / "identity"

    @property
    def policy(self) -> Path:
        return self.path / "policy.yaml"


def _by_round(folder: Path, ending: str) -> dict[int, Path]:
    """Round to its file, ascending; what has another name, as a file that is being written, is left out."""
    named = {path.stem.removeprefix(ROUND): path for path in folder.glob(f"{ROUND}*{ending}")}
    return {int(number): named[number] for number in sorted(filter(str.isdecimal, named), key=int)}
