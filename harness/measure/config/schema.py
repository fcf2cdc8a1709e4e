"""The config as typed data. There are no defaults here: they stand in conf/, each key with its comment."""

from dataclasses import dataclass
from typing import Any


@dataclass
class FidelityConfig:
    """How far the implementation is from what was published; None where the question does not arise."""

    era_operators: bool
    batchnorm_before_2015: bool
    changed_kernels: bool
    ema_as_published: bool | None
    dropout_as_published: bool | None
    stochastic_depth_as_published: bool | None
    note: str


@dataclass
class ResourcesConfig:
    """What one run asks of a cluster: `memory_gb` of host memory for each GPU, or for the run where it has none."""

    gpus: int
    cpus_per_gpu: int
    memory_gb: int
    minutes: int


@dataclass
class ModelConfig:
    """An architecture's card. `params` and `forward_macs` hold at 224 pixels, 1000 classes, train mode."""

    name: str
    title: str
    published: str
    published_source: str
    paper: str
    kwargs: dict[str, Any]
    params: int
    forward_macs: int
    min_resolution: int
    auxiliary_weight: float
    fidelity: FidelityConfig
    expected_epochs: float | None
    resources: ResourcesConfig
    default_recipe: str
    recipes: dict[str, Any]


@dataclass
class ResolutionPhase:
    """From this epoch on, train at this resolution."""

    from_epoch: int
    resolution: int


@dataclass
class RecipeConfig:
    """How a network is trained. See conf/recipe/small.yaml for each key."""

    name: str
    epochs: int
    batch_size: int
    accumulation_steps: int
    optimizer: str
    lr: float
    momentum: float
    epsilon: float | None
    weight_decay: float
    decay_norm_and_bias: bool
    schedule: str
    schedule_factor: float
    schedule_every_epochs: int
    warmup_epochs: float
    label_smoothing: float
    average: str
    average_decay: float | None
    gradient_clip_norm: float
    train_transform: str
    flip: bool
    randaugment: bool
    mixup_alpha: float
    resolution_schedule: list[ResolutionPhase]

    def resolution_at(self, epoch: int, base_resolution: int) -> int:
        """Training resolution in an epoch: that of the last phase begun, else the base."""
        begun = [phase for phase in self.resolution_schedule if phase.from_epoch <= epoch]
        return max(begun, key=lambda phase: phase.from_epoch).resolution if begun else base_resolution


@dataclass
class DataConfig:
    """A data set and how its images are presented. See conf/data/*.yaml for each key."""

    name: str
    root: str | None
    download: bool
    classes: Any  # int, list[str] or None (validate.py); OmegaConf has no union with a list
    images_per_class: int | None
    evaluation_images_per_class: int | None
    resolution: int
    crop_ratio: float
    mean: list[float]
    std: list[float]
    in_memory: bool
    workers: int | None
    decoder: str | None
    pixels: str | None


@dataclass
class AlsoConfig:
    """Further levels watched in the same run, a fraction each; None where the metric is not watched."""

    top1: float | None
    top5: float | None


@dataclass
class TargetConfig:
    """The level to reach; metric and value are None for a full schedule. See conf/rule.yaml for the last three."""

    metric: str | None
    value: float | None
    split: str
    source: str | None
    confirm: int
    past_evaluations: int
    also: AlsoConfig


@dataclass
class TrackingConfig:
    """The dashboard that mirrors the record. See conf/tracking/wandb.yaml for each key."""

    name: str
    project: str
    entity: str | None
    group: str | None
    run_name: str | None
    tags: list[str]
    mode: str
    dir: str
    system_metrics: bool
    init_timeout_seconds: float
    finish_wait_seconds: float
    finish_limit_seconds: float


@dataclass
class BudgetConfig:
    """Planned epochs, and the cap on a sweep's forecast."""

    epochs: int
    max_gpu_hours: float | None
    gpu: str
    utilisation: float


@dataclass
class Config:
    """Everything one measured run needs."""

    model: ModelConfig
    recipe: RecipeConfig
    data: DataConfig
    target: TargetConfig
    tracking: TrackingConfig
    budget: BudgetConfig
    seed: int
    calibration: bool
    out: str
    evaluations_per_epoch: int
    device: str
    precision: str
    memory_format: str
    compile: bool
    fused_optimizer: str
    sync_batchnorm: bool
    deterministic: bool
    threads: int | None
    log_every_steps: int
    checkpoint_minutes: float
    join_seconds: float
    collective_seconds: float
    checkpoint_at_evaluations: bool
