"""Units of arithmetic. A MAC is one multiply-accumulate; every other unit is derived from it here and nowhere else."""

FLOPS_PER_MAC = 2
"""One multiply and one add. fvcore, torchvision's `_ops` and Hernandez & Brown (2020) print MACs as FLOPs."""

PAPER_PASSES = 3
"""Hernandez & Brown (2020), table 3: training counted as 3 x the forward pass (the printed formula omits the 3)."""

OPERATIONS_PER_PETA = 10**15

OPERATIONS_PER_TFS_DAY = 10**12 * 86_400
"""A teraflop/s-day: 10^12 operations a second for one day, 8.64e16."""

MOORE_DOUBLING_MONTHS = 24.0
"""The doubling time of hardware efficiency that Hernandez & Brown (2020) compare with (2^(84/24) = 11x)."""


def paper_pflop(train_forward_macs: float) -> float:
    """The study's unit: 3 x forward MACs of all images trained on, in units of 10^15 (its "PFLOP")."""
    return PAPER_PASSES * train_forward_macs / OPERATIONS_PER_PETA


def paper_tfs_days(train_forward_macs: float) -> float:
    """The study's unit in teraflop/s-days, the column of its table 1 (3.1 for AlexNet)."""
    return PAPER_PASSES * train_forward_macs / OPERATIONS_PER_TFS_DAY


def macs_to_flops(macs: int) -> int:
    """FLOPs of a number of MACs (2 per MAC)."""
    return FLOPS_PER_MAC * macs


def macs_to_pflop(macs: float) -> float:
    """True PFLOP (10^15 FLOP, 2 per MAC) of a number of MACs."""
    return FLOPS_PER_MAC * macs / OPERATIONS_PER_PETA
