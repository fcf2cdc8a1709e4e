"""`harness dashboard`: the sweep's workspace on W&B, made or brought up to date by a command."""

import argparse
import json

from harness.measure.config.tracking import from_environment, refuse_what_wandb_would
from harness.measure.mirror import dashboard
from harness.measure.mirror.sync import default_options
from harness.measure.mirror.wandb_process import credentials_present
from harness.record.errors import EXIT_DONE, BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--project", help="W&B project (default: that of conf/tracking/wandb.yaml, or WANDB_PROJECT)")
    parser.add_argument("--entity", help="W&B team or user (default: the account's own, or WANDB_ENTITY)")
    parser.add_argument("--group", help="only runs of this group, for instance digits-small (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, as JSON; needs no key")


def main(args: argparse.Namespace) -> int:
    """Make the workspace, or find it as it should be; raises BadInput without a key, HarnessError when W&B refuses."""
    options = {**default_options(), **from_environment()}
    options |= {name: getattr(args, name) for name in ("project", "entity") if getattr(args, name)}
    refuse_what_wandb_would(options, remedy="--")
    if args.dry_run:
        workspace = dashboard.wanted(options["entity"] or "", options["project"], args.group)
        print(json.dumps(dashboard.spec(workspace), indent=1))
        return EXIT_DONE
    if not credentials_present():
        raise BadInput("no W&B key found: run `wandb login` or set WANDB_API_KEY; --dry-run needs none")
    entity = options["entity"] or dashboard.default_entity()
    done, address = dashboard.make(dashboard.wanted(entity, options["project"], args.group))
    print(f"{done}: {address}")
    return EXIT_DONE
