"""Small sets that live in memory as uint8: digits, Fashion-MNIST and generated images."""

import gzip
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from harness.measure.config.schema import DataConfig, RecipeConfig
from harness.measure.data.keyed import epoch_order, keyed_generator, keyed_seed
from harness.measure.data.loader import sampling
from harness.measure.data.loader.augment import randaugment
from harness.measure.data.loader.pixels import shift, training_image
from harness.measure.data.protocol import Batch, rank_share, steps_per_epoch
from harness.measure.data.subset import choose_classes, members
from harness.record.errors import BadInput

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True)
class SmallSplit:
    """images: uint8 (N, C, H, W); labels: int64 (N,)."""

    images: torch.Tensor
    labels: torch.Tensor


def _digits(_: DataConfig) -> tuple[SmallSplit, SmallSplit]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)  # 0..16 in the file
    train, held_out = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)

    def take(indices: np.ndarray) -> SmallSplit:
        return SmallSplit(torch.from_numpy(pixels[indices]), torch.from_numpy(labels[indices]).long())

    return take(train), take(held_out)


def _idx(path: Path) -> torch.Tensor:
    """An IDX file of uint8, plain or gzipped (format: yann.lecun.com/exdb/mnist)."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            raw = file.read()
        dimensions = raw[3]
        shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions)]
        array = np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise BadInput(f"{path}: truncated or not an IDX file ({error}); fetch the data set again") from error
    return torch.from_numpy(array.copy())


def _fashion_mnist(data: DataConfig) -> tuple[SmallSplit, SmallSplit]:
    roots = [Path(data.root)] if data.root else [Path("data"), DEBIAN_FASHION_MNIST]
    if data.root and not roots[0].is_dir() and not data.download:
        raise BadInput(f"data.root={data.root}: no such folder; correct it or add data.download=true")
    if data.download:
        from torchvision.datasets import FashionMNIST

        FashionMNIST(str(roots[0]), download=True)
    first = "train-images-idx3-ubyte"
    folder = next(
        (f for root in roots for f in (root / "FashionMNIST" / "raw", root) if _idx_path(f, first).is_file()), None
    )
    if folder is None:
        raise BadInput(
            f"Fashion-MNIST is not in {' or '.join(map(str, roots))}: install Debian's package dataset-fashion-mnist, "
            "set data.root=, or add data.download=true"
        )

    def read(stem: str) -> SmallSplit:
        images = _idx(_idx_path(folder, f"{stem}-images-idx3-ubyte"))
        labels = _idx(_idx_path(folder, f"{stem}-labels-idx1-ubyte"))
        return SmallSplit(images.unsqueeze(1), labels.long())

    return read("train"), read("t10k")


def _idx_path(folder: Path, stem: str) -> Path:
    plain = folder / stem
    return plain if plain.is_file() else folder / f"{stem}.gz"


def _fake(_: DataConfig) -> tuple[SmallSplit, SmallSplit]:
    generator = keyed_generator("fake")
    patterns = torch.randint(0, 256, (10, 3, 8, 8), generator=generator)

    def make(per_class: int) -> SmallSplit:
        labels = torch.arange(10).repeat(per_class)
        noise = torch.randint(-64, 65, (len(labels), 3, 8, 8), generator=generator)
        return SmallSplit((patterns[labels] + noise).clamp(0, 255).to(torch.uint8), labels)

    return make(24), make(9)


SOURCES: dict[str, Callable[[DataConfig], tuple[SmallSplit, SmallSplit]]] = {
    "digits": _digits,
    "fashion_mnist": _fashion_mnist,
    "fake": _fake,
}


def keep(split: SmallSplit, classes: list[int], images_per_class: int | None, *, option: str) -> SmallSplit:
    """The part of a split that subset.py chooses; classes are named by their numbers."""
    names = [str(index) for index in classes]
    indices, labels = members(split.labels.numpy(), classes, images_per_class, names=names, option=option)
    return SmallSplit(split.images[torch.from_numpy(indices)], torch.from_numpy(labels))


def load(data: DataConfig, recipe: RecipeConfig, device: torch.device) -> "SmallData":
    """One of `SOURCES`, cut to the asked subset, on the device."""
    train, held_out = SOURCES[data.name](data)
    available = int(train.labels.max()) + 1
    kept = (data.images_per_class, data.evaluation_images_per_class)
    classes = choose_classes([str(index) for index in range(available)], data.classes)
    subset = len(classes) != available or kept != (None, None)
    if subset:
        train = keep(train, classes, kept[0], option="data.images_per_class")
        held_out = keep(held_out, classes, kept[1], option="data.evaluation_images_per_class")
    return SmallData(data, recipe, train, held_out, subset=subset, device=device)


class SmallData:
    """An `ImageData` whose splits stay on the device as uint8, resized once per resolution."""

    def __init__(
        self,
        data: DataConfig,
        recipe: RecipeConfig,
        train: SmallSplit,
        held_out: SmallSplit,
        *,
        subset: bool,
        device: torch.device,
    ) -> None:
        self.name = data.name
        self.subset = subset
        self.classes = int(train.labels.max()) + 1
        self.train_images, self.evaluation_images = len(train.labels), len(held_out.labels)
        self.fingerprint = _fingerprint(data.name, train, held_out)
        self.notes: dict[str, str | int] = {"storage": "uint8 in memory, antialiased bilinear resize"}
        self._recipe = recipe
        self._device = device
        self._crop_ratio = data.crop_ratio
        self._splits = {"train": train, "evaluation": held_out}
        self._resized: dict[tuple[str, int], torch.Tensor] = {}
        self._labels = {name: split.labels.to(device) for name, split in self._splits.items()}
        self._mean = torch.tensor(data.mean, device=device).view(1, -1, 1, 1) * 255
        self._scale = 1 / (torch.tensor(data.std, device=device).view(1, -1, 1, 1) * 255)

    def start(self, *, world_size: int) -> None:
        """See `ImageData`: it has no processes."""

    def train_batches(
        self, *, seed: int, epoch: int, batch_size: int, start_batch: int, resolution: int, rank: int, world_size: int
    ) -> Iterator[Batch]:
        """See `ImageData`."""
        order = epoch_order(self.train_images, seed=seed, epoch=epoch)
        there = order.to(self._device)
        images = self._at("train", resolution)
        for batch in range(start_batch, steps_per_epoch(self.train_images, batch_size, world_size)):
            indices = order[batch * batch_size : (batch + 1) * batch_size]
            share = rank_share(len(indices), rank, world_size)
            mine, chosen = indices[share], there[batch * batch_size : (batch + 1) * batch_size][share]
            if self._recipe.train_transform in ("random_crop", "resized_crop"):
                pixels = self._crops(mine, seed, epoch, batch * batch_size + share.start, resolution)
            else:
                pixels = images[chosen]
            if self._recipe.randaugment:  # each image by its position in the epoch, so that ranks agree
                first = batch * batch_size + share.start
                seeds = [keyed_seed("randaugment", seed, epoch, first + i) for i in range(len(mine))]
                pixels = randaugment(pixels, seeds, self._recipe.randaugment_magnitude)
            if self._recipe.flip or self._recipe.train_transform != "none":
                draws = torch.rand(len(indices), 5, generator=keyed_generator("augment", seed, epoch, batch))[share]
                pixels = self._transform(pixels, draws)
            yield self._finish(pixels), self._labels["train"][chosen]

    def evaluation_batches(self, *, resolution: int, batch_size: int, rank: int, world_size: int) -> Iterator[Batch]:
        """See `ImageData`."""
        images, labels = self._at("evaluation", resolution), self._labels["evaluation"]
        mine = rank_share(self.evaluation_images, rank, world_size)
        for start in range(mine.start, mine.stop, batch_size):
            part = slice(start, min(start + batch_size, mine.stop))
            yield self._finish(images[part]), labels[part]

    def close(self) -> None:
        """See `ImageData`: there is nothing to give back."""

    def _at(self, split: str, resolution: int) -> torch.Tensor:
        """The split's images at a resolution, uint8 (N, C, resolution, resolution), made once."""
        if (resized := self._resized.get((split, resolution))) is None:
            from torchvision.transforms import v2  # not at the top: see `randaugment`

            source = self._splits[split].images
            ratio = self._crop_ratio if split == "evaluation" else 1.0
            resize = v2.Resize([round(resolution / ratio)] * 2, antialias=True)
            crop = v2.CenterCrop(resolution)
            resized = torch.cat([crop(resize(part)) for part in source.split(4096)]).to(self._device)
            self._resized[split, resolution] = resized
        return resized

    def _crops(self, indices: torch.Tensor, seed: int, epoch: int, first: int, resolution: int) -> torch.Tensor:
        """The crops that a folder of these images gives, uint8 (n, C, R, R). first: position in the epoch."""
        images, transform = self._splits["train"].images, self._recipe.train_transform
        numbers = sampling.draws(seed, epoch, first, len(indices))
        views = [
            training_image(images[index].permute(1, 2, 0), own, transform, resolution).permute(2, 0, 1)
            for index, own in zip(indices.tolist(), numbers, strict=True)
        ]
        return self._sent(torch.stack(views))

    def _transform(self, pixels: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """Shift and flip uint8 (B, C, R, R) by uniform draws (B, 5)."""
        draws = self._sent(draws)
        if self._recipe.train_transform == "shift":
            pixels = shift(pixels, draws[:, :2])
        if self._recipe.flip:
            pixels = torch.where((draws[:, 4] < 0.5).view(-1, 1, 1, 1), pixels.flip(3), pixels)
        return pixels

    def _sent(self, tensor: torch.Tensor) -> torch.Tensor:
        """On the device; the host does not wait for what the device has yet to do."""
        return tensor if self._device.type == "cpu" else tensor.pin_memory().to(self._device, non_blocking=True)

    def _finish(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (B, 1 or 3, R, R) -> normalised float32 (B, 3, R, R)."""
        return ((pixels.float() - self._mean) * self._scale).expand(-1, 3, -1, -1)


def _fingerprint(name: str, train: SmallSplit, held_out: SmallSplit) -> str:
    """sha256 over the name and every pixel and label of both splits."""
    whole = hashlib.sha256(name.encode())
    for split in (train, held_out):
        whole.update(str(tuple(split.images.shape)).encode())
        whole.update(split.images.numpy().tobytes())
        whole.update(split.labels.numpy().tobytes())
    return whole.hexdigest()
