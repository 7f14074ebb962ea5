"""A structure as text to what is computed from it: standardised form, fingerprint, fold."""
