"""JPEG trees like ImageNet's: sizes, file sizes and encodings, generated, and a manifest as large as ImageNet's."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((375, 500), (333, 500), (500, 375), (375, 500))  # height, width: most of ImageNet


def photograph(seed: int, height: int, width: int) -> Image.Image:
    """1/f noise as in natural images, some flat shapes, a little sensor noise."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1

    def field(slope: float) -> np.ndarray:
        shape = (height, width // 2 + 1)
        spectrum = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / frequency**slope
        values = np.fft.irfft2(spectrum, s=(height, width))
        return (values - values.mean()) / values.std()

    light = field(1.3)
    pixels = np.stack([128 + 45 * light + 20 * field(1.5) for _ in range(3)], axis=-1)
    for _ in range(12):
        top, left, side = rng.integers(0, height), rng.integers(0, width), rng.integers(10, height // 3)
        part = pixels[top : top + side, left : left + side]
        part += 0.5 * (rng.integers(0, 255, 3) - part)
    pixels += rng.normal(size=pixels.shape) * 1.2
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encode(seed: int) -> bytes:
    """Three of four at quality 96 without chroma subsampling, the rest at 86 with: as a scan of ImageNet found."""
    image = photograph(seed, *SIZES[seed % len(SIZES)])
    stream = io.BytesIO()
    if seed % 4 != 3:
        image.save(stream, "JPEG", quality=96, subsampling=0)
    else:
        image.save(stream, "JPEG", quality=86)
    return stream.getvalue()


def make_tree(root: Path, *, train_images: int, evaluation_images: int, classes: int = 8) -> Path:
    """train/ and val/ under root; made once, found again by the next start."""
    done = root / f".made-{train_images}-{evaluation_images}-{classes}"
    if done.exists():
        return root
    seed = 0
    for split, images in (("train", train_images), ("val", evaluation_images)):
        for i in range(images):
            wnid = f"n{i % classes:08d}"
            (root / split / wnid).mkdir(parents=True, exist_ok=True)
            (root / split / wnid / f"{wnid}_{i}.JPEG").write_bytes(encode(seed))
            seed += 1
    done.touch()
    return root


def as_official_tars(tree: Path, root: Path) -> Path:
    """The images of a tree as a tar of class tars, and val as one tar of class folders."""
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "ILSVRC2012_img_train.tar", "w", format=tarfile.GNU_FORMAT) as outer:
        for folder in sorted((tree / "train").iterdir()):
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as inner:
                inner.add(folder, arcname="")
            member = tarfile.TarInfo(f"{folder.name}.tar")
            member.size = stream.tell()
            stream.seek(0)
            outer.addfile(member, stream)
    with tarfile.open(root / "ILSVRC2012_img_val.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(tree / "val", arcname="val")
    return root


def imagenet_sized_manifest(root: Path, cache: Path) -> None:
    """A cached manifest of ImageNet's size; its 2,002 folders exist under root, its 1.33 million files do not."""
    from harness.measure.data.layouts.scan import stamp
    from harness.measure.data.store import manifest as module

    classes = [f"n{i:08d}" for i in range(1000)]
    stamps: dict[str, tuple[int, int]] = {}
    splits = []
    counts = {"train": module.IMAGENET_TRAIN_IMAGES, "val": module.IMAGENET_EVALUATION_IMAGES}
    for folder, images in counts.items():
        for name in ("", *classes):
            (root / folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("", *classes):
            stamps[f"{folder}/{name}".rstrip("/")] = stamp(root / folder / name)
        labels = np.sort(np.arange(images, dtype=np.int32) % 1000)
        names = [f"{folder}/{classes[c]}/{classes[c]}_{i:05d}.JPEG".encode() for i, c in enumerate(labels.tolist())]
        ends = np.cumsum([len(name) for name in names])
        blob, sizes = np.frombuffer(b"".join(names), np.uint8), np.full(images, 110_000, np.int64)
        none = np.zeros(0, np.int64)
        ids = np.arange(images, dtype=np.uint64)
        splits.append(module.Split(blob, ends, labels, sizes, ids, (), none.astype(np.int32), none, False))
    words = ("class folders", "the folders' names")
    whole = module.Manifest(root, *words, tuple(classes), splits[0], splits[1], "0" * 64, 0)
    path = module.cache_path(root)
    module.write_cache(whole, stamps, cache / path.relative_to(path.parents[2]))
