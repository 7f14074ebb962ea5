"""What partners agree on out of band, as files: identities, roster, policies, certificates, and what transcripts prove."""
