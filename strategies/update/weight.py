"""A partner's weight in the mean, so coarse that it says little of the partner's size."""

LABELS_PER_WEIGHT = 10_000


def weight_of(labels: int, largest: int) -> int:
    """The power of two at or below labels / 10,000, but 1 to `largest`."""
    return min(1 << max((labels // LABELS_PER_WEIGHT).bit_length() - 1, 0), largest)
