"""Real JPEG trees in ImageNet's layout, with every odd kind of file that ImageNet holds."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WNIDS = ("n01440764", "n02085620", "n04456115")


def picture(seed: int, height: int, width: int) -> Image.Image:
    """A smooth picture with edges, so that JPEG, resampling and flips all leave traces."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    pixels = np.array(coarse).astype(np.int16)
    pixels[height // 4 : height // 2, width // 3 : width // 2] += 60
    pixels += rng.integers(-6, 7, pixels.shape, dtype=np.int16)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """The picture as a file's bytes."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def odd_files() -> dict[str, bytes]:
    """Every kind of file that ImageNet's folders hold beside plain colour JPEGs, all to be read as Pillow reads it."""
    image = picture(99, 90, 120)
    turned = Image.Exif()
    turned[0x112] = 6  # "rotate by 90 degrees": torchvision's reference does not look at it
    return {
        "grey": encoded(image.convert("L")),
        "cmyk": encoded(image.convert("CMYK")),
        "progressive": encoded(image, progressive=True, quality=96, subsampling=0),
        "png": encoded(image, "PNG"),
        "png_palette": encoded(image.convert("P"), "PNG"),
        "png_alpha": encoded(image.convert("RGBA"), "PNG"),
        "turned": encoded(image, exif=turned.tobytes()),
        "trailing": encoded(image) + b"trailing bytes",
        "tall": encoded(image.resize((20, 130))),
        "one_pixel": encoded(image.resize((1, 1))),
    }


def write_tree(root: Path, *, train_images: int = 6, evaluation_images: int = 3, odd: bool = True) -> Path:
    """train/<wnid>/*.JPEG and val/<wnid>/*.JPEG of sizes around 120 x 90; the odd files lie in the first class."""
    for split, images in (("train", train_images), ("val", evaluation_images)):
        for label, wnid in enumerate(WNIDS):
            folder = root / split / wnid
            folder.mkdir(parents=True)
            for i in range(images):
                image = picture(1000 * label + i + (split == "val") * 500, 90 + 7 * (i % 3), 120 - 13 * (i % 4))
                options = {"quality": 96, "subsampling": 0} if i % 4 else {"quality": 88}
                (folder / f"{wnid}_{i}.JPEG").write_bytes(encoded(image, **options))
        if odd:
            for name, data in odd_files().items():
                (root / split / WNIDS[0] / f"{WNIDS[0]}_{name}.JPEG").write_bytes(data)
    return root


@pytest.fixture(autouse=True)
def own_manifests(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with odd files; read only, shared by the tests."""
    return write_tree(tmp_path_factory.mktemp("imagenet") / "tree")


@pytest.fixture
def own_tree(tmp_path: Path) -> Path:
    """A small tree without odd files that a test may spoil."""
    return write_tree(tmp_path / "tree", train_images=3, evaluation_images=2, odd=False)
