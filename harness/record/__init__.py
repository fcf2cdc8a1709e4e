"""The contract between measuring and analysing: units, ledger, target, run folder. No torch, no hydra, no wandb."""
