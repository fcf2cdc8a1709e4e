"""(c) What counting costs: a network once per resolution, a step nothing but two integer additions."""

import statistics
import time
import warnings
from typing import Any

import torch

from harness import models
from harness.measure.bill.count import FlopCountAnalysis, bill
from harness.record.ledger import Ledger

MODELS = ("alexnet", "vgg11", "googlenet", "resnet18", "resnet50", "densenet121", "mobilenet_v2", "efficientnet_b0")
STEPS = 100_000


def _milliseconds(rounds: int, work: Any) -> list[float]:
    out = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        out.append(1e3 * (time.process_time() - start))
    return out


def run(rounds: int) -> dict[str, Any]:
    """Counting each network in train mode with its exact backward bill, beside fvcore's forward count alone."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = []
    print(f"\n{'counting at 224 px, ms of CPU time':36} {'harness bill':>13} {'fvcore forward':>15}")
    for name in MODELS:
        model = models.build(name, classes=1000)
        image = torch.zeros(1, 3, 224, 224)

        def count(model: torch.nn.Module = model, image: torch.Tensor = image) -> None:
            analysis = FlopCountAnalysis(model, image)
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()

        model.eval()
        peers = _milliseconds(rounds, count)
        model.train()
        ours = _milliseconds(rounds, lambda model=model: bill(model, resolution=224))
        rows.append({"model": name, "bill_ms": ours, "fvcore_forward_ms": peers})
        print(f"{name:36} {statistics.median(ours):13.0f} {statistics.median(peers):15.0f}")
    ledger = Ledger()
    per_step = _milliseconds(
        rounds, lambda: [ledger.bill_training(32, forward_macs=1, backward_macs=2) for _ in range(STEPS)]
    )
    microseconds = 1e3 * statistics.median(per_step) / STEPS
    print(f"billing a step: {microseconds:.2f} microseconds")
    return {"counting": rows, "step_microseconds": microseconds}
