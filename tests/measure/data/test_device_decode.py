"""data.decoder=nvjpeg, its code run on the CPU device: the same batches as the worker path"""

from pathlib import Path

import pytest
import torch

from harness.measure.data.loader import decode
from harness.measure.data.loader.device_decode import DeviceDecoder, is_plain
from harness.measure.data.loader.stream import StreamedData
from harness.record.errors import BadInput
from tests.measure.data.conftest import WNIDS, encoded, odd_files, picture
from tests.measure.data.loading import digest, load, train

pytest.importorskip("torchcodec")


def on_cpu(root: Path, **changes: object) -> StreamedData:
    """The set as nvjpeg would read it, on the CPU device."""
    data = load(root, **changes)
    data._device_decoder = DeviceDecoder(data._train, torch.device("cpu"), decode.choose("auto"))
    return data


@pytest.mark.parametrize("changes", [
    {"train_transform": "resized_crop"}, {"train_transform": "random_crop"}, {"train_transform": "none", "flip": False},
    {"randaugment": True},
])  # fmt: skip
def test_batches_are_those_of_the_worker_path(tree: Path, changes: dict[str, object]) -> None:
    data = on_cpu(tree, **changes)
    assert digest(train(data)) == digest(train(load(tree, **changes)))
    assert digest(train(data, start_batch=2)) == digest(train(load(tree, **changes), start_batch=2))
    assert data.notes["odd_files"] == 4


def test_only_plain_jpegs_go_to_the_device() -> None:
    plain = {name for name, data in odd_files().items() if is_plain(data)}
    assert plain == {"grey", "progressive", "trailing", "tall", "one_pixel"}
    assert not is_plain(b"\xff\xd8\xff\xe0")
    assert not is_plain(b"")


def test_a_damaged_file_is_named(own_tree: Path) -> None:
    bad = own_tree / "train" / WNIDS[1] / "bad.JPEG"
    whole = encoded(picture(1, 90, 120))
    bad.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=f"{bad} cannot be decoded .*truncated"):
        list(train(on_cpu(own_tree)))


def test_it_is_refused_without_a_gpu(tree: Path) -> None:
    with pytest.raises(BadInput, match=r"data.decoder=nvjpeg decodes on a GPU.*use data.decoder=auto"):
        load(tree, decoder="nvjpeg")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_pixels_differ_by_rounding_only(tree: Path) -> None:
    device = torch.device("cuda")
    data = load(tree)
    decoder = DeviceDecoder(data._train, device, decode.choose("auto"))
    for name, encoded_file in odd_files().items():
        expected, _ = decode.Decoder("pillow").decode(encoded_file, name)
        (image,), _ = decoder._decode_all([encoded_file], torch.zeros(1, dtype=torch.int64).numpy())
        assert float((image.cpu().float() - expected.float()).abs().mean()) < 2
