"""What a card says of its network, held against the bill."""

from harness.measure.bill.cache import bill_of
from harness.measure.config import cards
from harness.record.errors import HarnessError


def remark(name: str) -> str | None:
    """One line where the card's numbers are another network's; None where they hold, or cannot be checked.

    Counts a network of 1000 classes at 224 pixels, once on a machine (cache.py).
    """
    try:
        card = cards.read_card(name, resolution=224)
        counted = bill_of(name, kwargs=card["kwargs"], classes=1000, resolution=224)
    except (HarnessError, RuntimeError, ValueError, AssertionError):
        return None  # no card of its own, or a network that does not run at 224 pixels
    return cards.card_remark(card, params=counted.params, forward_macs=counted.forward_macs)
