"""The config as typed data, each limit at its field. There are no defaults here: those stand in conf/."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from harness.measure.config.gpus import GPUS


@dataclass(frozen=True)
class Limit:
    """What a value must satisfy, in the annotation of its field; `words` say so, after the key and the value."""

    holds: Callable[[Any], bool]
    words: str


ABOVE_0 = Limit(lambda value: value > 0, "it must be above 0")
ABOVE_0_OR_NONE = Limit(lambda value: value is None or value > 0, "it must be above 0, or null for no limit")
FROM_0 = Limit(lambda value: value >= 0, "it must not be negative")
BELOW_1 = Limit(lambda value: value < 1, "it must be below 1")
UP_TO_1 = Limit(lambda value: value <= 1, "it must be at most 1")
UP_TO_30 = Limit(lambda value: value <= 30, "it must be at most 30")
SHARE = Limit(lambda value: 0 < value <= 1, "it must be above 0 and at most 1")
DECAY = Limit(
    lambda value: value is None or 0 < value < 1, "it must be above 0 and below 1, or null for no upper limit"
)
WORKERS = Limit(lambda value: value is None or value >= 0, "it must not be negative; null = as many as pay here")


def one_of(*allowed: str) -> Limit:
    """The limit of a word: it is one of these."""
    return Limit(lambda value: value in allowed, f"use one of {', '.join(allowed)}")


SWITCH = Limit(lambda value: value in ("auto", "true", "True", "false", "False"), "use one of auto, true, false")
"""A word, or the truth value that YAML makes of `true`, which the field's type writes as True."""


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
    auxiliary_weight: Annotated[float, FROM_0]
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
    epochs: Annotated[int, ABOVE_0]
    batch_size: Annotated[int, ABOVE_0]
    accumulation_steps: Annotated[int, ABOVE_0]
    optimizer: Annotated[str, one_of("sgd", "nesterov", "rmsprop", "adamw")]
    lr: Annotated[float, ABOVE_0]
    momentum: Annotated[float, FROM_0, BELOW_1]
    epsilon: float | None
    weight_decay: Annotated[float, FROM_0]
    decay_norm_and_bias: bool
    schedule: Annotated[str, one_of("step", "exponential", "cosine", "onecycle", "constant")]
    schedule_factor: Annotated[float, ABOVE_0]
    schedule_every_epochs: Annotated[int, ABOVE_0]
    warmup_epochs: Annotated[float, FROM_0]
    label_smoothing: Annotated[float, FROM_0, UP_TO_1]
    average: Annotated[str, one_of("none", "ema")]
    average_decay: Annotated[float | None, DECAY]
    gradient_clip_norm: Annotated[float, FROM_0]
    train_transform: Annotated[str, one_of("none", "random_crop", "resized_crop", "shift")]
    flip: bool
    randaugment: bool
    randaugment_magnitude: Annotated[int, FROM_0, UP_TO_30]
    mixup_alpha: Annotated[float, FROM_0]
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
    images_per_class: Annotated[int | None, ABOVE_0_OR_NONE]
    evaluation_images_per_class: Annotated[int | None, ABOVE_0_OR_NONE]
    resolution: Annotated[int, ABOVE_0]
    crop_ratio: Annotated[float, SHARE]
    mean: list[float]
    std: list[float]
    in_memory: bool
    workers: Annotated[int | None, WORKERS]
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

    epochs: Annotated[int, ABOVE_0]
    max_gpu_hours: Annotated[float | None, ABOVE_0_OR_NONE]
    gpu: Annotated[str, one_of(*GPUS)]
    utilisation: Annotated[float, ABOVE_0]


@dataclass
class Config:
    """Everything one measured run needs."""

    model: ModelConfig
    recipe: RecipeConfig
    data: DataConfig
    target: TargetConfig
    tracking: TrackingConfig
    budget: BudgetConfig
    seed: Annotated[int, FROM_0]
    calibration: bool
    declared: bool
    out: str
    evaluations_per_epoch: Annotated[int, ABOVE_0]
    device: Annotated[str, one_of("auto", "cpu", "cuda")]
    precision: Annotated[str, one_of("auto", "fp32", "tf32", "bf16", "fp16")]
    memory_format: Annotated[str, one_of("auto", "channels_last", "contiguous")]
    compile: bool
    cuda_graph: bool
    fused_optimizer: Annotated[str, SWITCH]
    sync_batchnorm: bool
    deterministic: bool
    threads: Annotated[int | None, ABOVE_0_OR_NONE]
    log_every_steps: Annotated[int, ABOVE_0]
    checkpoint_minutes: Annotated[float, ABOVE_0]
    join_seconds: Annotated[float, ABOVE_0]
    collective_seconds: Annotated[float, ABOVE_0]
    checkpoint_at_evaluations: bool
