"""What can be checked of a config only once the data set and the number of processes are known."""

from torch.nn.modules.batchnorm import _BatchNorm

from harness.measure.config.schema import Config
from harness.measure.data.protocol import ImageData, steps_per_epoch
from harness.measure.training.state import Training
from harness.record.errors import BadInput
from harness.record.target import Target

SMALL_BATCHNORM_IMAGES = 16
"""Below so many images BatchNorm's statistics are too noisy to train the same network (Wu and He 2018, figure 1)."""


def check_fits(config: Config, data: ImageData, world_size: int, level: Target | None) -> None:
    """Raise BadInput where batch, classes, level, evaluations or processes do not suit this data set."""
    if config.recipe.batch_size > data.train_images:
        raise BadInput(
            f"recipe.batch_size={config.recipe.batch_size} is larger than the training set of {data.train_images} "
            "images: lower it"
        )
    if data.classes < 2:
        raise BadInput(f"data.classes={data.classes}: one class is no question; take 2 or more")
    if level is not None:
        level.says_something(data.classes)
    steps = steps_per_epoch(data.train_images, config.recipe.batch_size, world_size)
    if steps == 0:
        raise BadInput(f"an epoch of {data.train_images} images holds no batch of 2 or more images per process")
    if config.recipe.batch_size < 2 * world_size * config.recipe.accumulation_steps:
        raise BadInput(
            f"recipe.batch_size={config.recipe.batch_size} over {world_size} processes and "
            f"{config.recipe.accumulation_steps} micro-batches leaves under 2 images each; raise it"
        )
    if config.sync_batchnorm and world_size > 1 and config.device != "cuda":
        raise BadInput("sync_batchnorm=true: torch has it for GPUs only; use device=cuda or leave it off")
    if config.sync_batchnorm and world_size > 1 and config.compile:
        raise BadInput(
            "sync_batchnorm=true with compile=true: each synchronised layer breaks the compiled graph, and the last "
            "batch of an epoch would end the run; leave one of them off"
        )
    if config.cuda_graph and world_size > 1:
        raise BadInput(f"cuda_graph=true: for runs of one process, this one has {world_size}; leave it off")
    if config.evaluations_per_epoch > steps:
        raise BadInput(
            f"evaluations_per_epoch={config.evaluations_per_epoch}, but an epoch has {steps} steps; lower it"
        )


def warn_of_small_batchnorm(training: Training) -> None:
    """Say so where BatchNorm sees few images: spread over many processes, such a network is another than on one."""
    normed = any(isinstance(module, _BatchNorm) for module in training.model.modules())
    if normed and training.batchnorm_images < SMALL_BATCHNORM_IMAGES:
        training.display.say(
            f"note: BatchNorm sees {training.batchnorm_images} images at a time, fewer than {SMALL_BATCHNORM_IMAGES}; "
            "use fewer processes or micro-batches, or sync_batchnorm=true on GPUs"
        )
