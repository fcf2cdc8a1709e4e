"""`make results`: how far the usual counters are from the exact bill, for each architecture."""

import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from harness.analyse.show.table import Table
from harness.analyse.show.templates import environment
from harness.measure.bill.count import Bill, bill
from harness.measure.config.cards import names, read_card, skeleton
from harness.paths import ROOT
from harness.record.files import write_atomic
from harness.record.units import FLOPS_PER_MAC, PAPER_PASSES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # as in harness/measure/bill
    from fvcore.nn import FlopCountAnalysis

RESOLUTION = 224
HEADER = (
    "architecture",
    "forward GMAC",
    "spent GMAC",
    "fvcore total / forward",
    "fvcore total / spent",
    "FlopCounterMode / spent",
    "3 x forward / spent",
)
TEMPLATES = environment(Path(__file__).parent / "templates")
OUT = ROOT / "results" / "counting"


def main() -> None:
    """Write TABLE.md and counting.json into results/counting."""
    document = {
        "command": "make results",
        "resolution": RESOLUTION,
        "versions": {package: version(package).partition("+")[0] for package in ("torch", "torchvision", "fvcore")},
        "models": [compare(name, resolution=RESOLUTION) for name in names()],
    }
    write_atomic(OUT / "counting.json", json.dumps(document, indent=1) + "\n")
    write_atomic(OUT / "TABLE.md", markdown(document))
    print(f"wrote {OUT / 'TABLE.md'} and {OUT / 'counting.json'}")


def compare(name: str, *, resolution: int) -> dict[str, Any]:
    """The exact bill of one architecture beside what three usual ways give, all in MACs per image."""
    network = skeleton(name, resolution=resolution)
    exact = bill(network, resolution=resolution)
    fvcore_total = fvcore_total_macs(network, resolution=resolution)
    mode_total = flop_counter_mode_macs(network, resolution=resolution)
    return {
        "model": name,
        "published": read_card(name, resolution=resolution)["published"],
        "forward_macs": exact.forward_macs,
        "spent_macs": exact.spent_macs,
        "fvcore_total": fvcore_total,
        "flop_counter_mode_macs": mode_total,
        "three_times_forward_macs": PAPER_PASSES * exact.forward_macs,
        **_ratios(exact, fvcore_total, mode_total),
    }


def _ratios(exact: Bill, fvcore_total: int, mode_total: int) -> dict[str, float]:
    """Each count over the truth it stands for: 1 is exact."""
    return {
        "fvcore_over_forward": round(fvcore_total / exact.forward_macs, 4),
        "fvcore_over_spent": round(fvcore_total / exact.spent_macs, 4),
        "flop_counter_mode_over_spent": round(mode_total / exact.spent_macs, 4),
        "three_times_over_spent": round(PAPER_PASSES * exact.forward_macs / exact.spent_macs, 4),
    }


def fvcore_total_macs(network: nn.Module, *, resolution: int) -> int:
    """`FlopCountAnalysis(net, image).total()` in train mode, as its manual shows it: norms in, some operators missing.

    Batch 2 (halved): BatchNorm refuses batch 1 where the map is 1 x 1.
    """
    real = network.to_empty(device="cpu").train()
    for tensor in (*real.parameters(), *real.buffers()):
        tensor.detach().zero_()
    with torch.random.fork_rng(devices=[]):
        analysis = FlopCountAnalysis(real, torch.zeros(2, 3, resolution, resolution))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return int(analysis.total()) // 2


def flop_counter_mode_macs(network: nn.Module, *, resolution: int) -> int:
    """FlopCounterMode over forward and backward of a batch of 2, halved, and FLOPs over 2 to MACs."""
    shapes = network.to("meta").train()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        outputs = shapes(torch.empty(2, 3, resolution, resolution, device="meta"))
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        torch.stack([head.sum() for head in heads]).sum().backward()
    return int(counter.get_total_flops()) // (2 * FLOPS_PER_MAC)


def markdown(document: dict[str, Any]) -> str:
    """The table, with what its columns mean."""
    versions = ", ".join(f"{package} {number}" for package, number in document["versions"].items())
    lines = [
        [
            r["model"],
            f"{r['forward_macs'] / 1e9:.4f}",
            f"{r['spent_macs'] / 1e9:.4f}",
            f"{r['fvcore_over_forward']:.3f}",
            f"{r['fvcore_over_spent']:.3f}",
            f"{r['flop_counter_mode_over_spent']:.3f}",
            f"{r['three_times_over_spent']:.3f}",
        ]
        for r in document["models"]
    ]
    return TEMPLATES.get_template("counting.md.j2").render(
        document=document,
        versions=versions,
        table=Table.of(HEADER, lines).markdown(),
        reading=_reading(document["models"]),
    )


def _reading(rows: list[dict[str, Any]]) -> list[str]:
    """What the columns say, in figures taken from them."""

    def extreme(key: str) -> str:
        low, high = min(rows, key=lambda r: r[key]), max(rows, key=lambda r: r[key])
        return f"from {low[key]:.3f} ({low['model']}) to {high[key]:.3f} ({high['model']})"

    return [
        f"fvcore's total counts the forward pass alone, adds norms and pooling, and leaves out attention: "
        f"{extreme('fvcore_over_forward')} of the forward MACs, {extreme('fvcore_over_spent')} of what is spent.",
        f"FlopCounterMode ignores groups in the backward pass of convolutions: "
        f"{extreme('flop_counter_mode_over_spent')} of what is spent.",
        f"3 x forward bills an input gradient that nobody computes at the stem: "
        f"{extreme('three_times_over_spent')} of what is spent.",
    ]


if __name__ == "__main__":
    main()
