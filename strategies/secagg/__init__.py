"""Secure aggregation without input or output of its own: PROTOCOL.md in this folder as code; `rehearsal.py` plays it through on one page.

What the rest of the project uses, and nothing else here. It is named rather than imported: who imports the coordinator's part must not
thereby load the modules that hold a partner's secrets.

a partner          participant.Participant   state.State, state.load, state.dump   masking.tag_words, masking.signed_view
the coordinator    coordinator.Coordinator   collection.Collection
who takes part     identity.Identity, identity.PublicIdentity   roster.Roster, roster.Member   policy.Policy
how often          repetition.Repetition, repetition.RepetitionLimits
what is said       phases.Step   messages.SessionParameters, messages.LastRound, messages.Handover, messages.Holding, messages.NO_TRUNK
as bytes, words    wire.encode, wire.decode   keystream.DTYPES, keystream.keystream   digits.split, digits.join
a trunk's name     keys.trunk_name
what went wrong    errors.SecAggError and its kinds
who is guilty      proofs.proven, proofs.encode
afterwards         transcript.append, transcript.read   transcript_comparison.compare   transcript_findings.findings
trying it          rehearsal.Rehearsal, rehearsal.throw_away_parties
"""
