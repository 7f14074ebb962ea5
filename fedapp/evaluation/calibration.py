"""How far predicted probabilities are from the shares of actives among those who got them."""

import numpy as np

BINS = 10


def expected_calibration_error(labels: np.ndarray, logits: np.ndarray) -> float | None:
    """Expected calibration error: mean over labels of |share of actives - mean probability| in the label's bin; None without labels.

    The probability of being active is cut into `BINS` bins of equal width. Labels of many tasks are taken together: in one task alone
    bins are too thin, and chance would be most of it. Source: M. P. Naeini et al., AAAI 2015.

    Args:
        labels: 0 or 1 (n,).
        logits: float (n,).
    """
    if not len(labels):
        return None
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64).clip(-500, 500)))
    places = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    surplus = np.bincount(places, weights=labels - probabilities, minlength=BINS)
    return float(np.abs(surplus).sum() / len(labels))
