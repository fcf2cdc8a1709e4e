"""One identity: the same images under the same labels, whatever else lies beside them; classes by name or number."""

import shutil
from pathlib import Path

import pytest
import torch

from harness.measure.config.compose import compose, run_id
from harness.measure.data.sources import build
from harness.record.errors import BadInput
from tests.measure.data.conftest import WNIDS, encoded, picture
from tests.measure.data.loading import digest, evaluation, load, train


def with_another_class(tree: Path, to: Path) -> Path:
    """A copy of a tree with a class more, whose name comes first."""
    shutil.copytree(tree, to)
    for split in ("train", "val"):
        folder = to / split / "n00000001"
        folder.mkdir()
        for i in range(4):
            (folder / f"{split}_{i}.JPEG").write_bytes(encoded(picture(70 + i, 40, 50)))
    return to


@pytest.mark.parametrize("more", [{}, {"images_per_class": 2, "evaluation_images_per_class": 1}])
def test_a_subset_is_known_by_its_own_images_alone(own_tree: Path, tmp_path: Path, more: dict[str, int]) -> None:
    """Two trees that differ in a class not chosen: one fingerprint, the same batches."""
    larger = with_another_class(own_tree, tmp_path / "larger")
    here, there = (load(root, classes=[WNIDS[2], WNIDS[0]], **more) for root in (own_tree, larger))
    assert here.fingerprint == there.fingerprint
    assert digest(train(here)) == digest(train(there))
    assert digest(evaluation(here)) == digest(evaluation(there))


def test_a_subset_that_is_all_of_a_smaller_tree_has_that_trees_fingerprint(own_tree: Path, tmp_path: Path) -> None:
    larger = with_another_class(own_tree, tmp_path / "larger")
    assert load(larger, classes=list(WNIDS)).fingerprint == load(own_tree).fingerprint
    assert load(larger).fingerprint != load(own_tree).fingerprint


def test_a_class_that_was_not_drawn_is_no_part_of_the_subset(own_tree: Path, tmp_path: Path) -> None:
    """Two trees of three classes; the one that is not among the two drawn holds other images."""
    drawn = load(own_tree, classes=2)
    kept = {Path(drawn.train_split.path(i)).parent.name for i in range(drawn.train_images)}
    (left_out,) = set(WNIDS) - kept
    other = Path(shutil.copytree(own_tree, tmp_path / "other"))
    (other / "train" / left_out / "more.JPEG").write_bytes(encoded(picture(8, 40, 40)))
    assert load(other, classes=2).fingerprint == drawn.fingerprint
    assert load(other).fingerprint != load(own_tree).fingerprint


def test_another_image_or_label_is_another_set(own_tree: Path) -> None:
    seen = {load(own_tree).fingerprint}
    train_image = own_tree / "train" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG"
    train_image.rename(train_image.with_name("other.JPEG"))
    seen.add(load(own_tree).fingerprint)
    (own_tree / "val" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG").rename(own_tree / "val" / WNIDS[1] / "moved.JPEG")
    seen.add(load(own_tree).fingerprint)
    assert len(seen) == 3


def test_where_an_image_lies_in_its_class_and_how_its_suffix_is_written_say_nothing(own_tree: Path) -> None:
    before = load(own_tree)
    order = digest(train(before))
    for split in ("train", "val"):
        for folder in (own_tree / split).iterdir():
            (folder / "images").mkdir()
            for image in folder.glob("*.JPEG"):
                image.rename(folder / "images" / f"{image.stem}.jpg")
    after = load(own_tree)
    assert after.fingerprint == before.fingerprint
    assert digest(train(after)) == order


def test_a_number_draws_and_names_choose(own_tree: Path) -> None:
    drawn = load(own_tree, classes=2)
    kept = sorted({Path(drawn.train_split.path(i)).parent.name for i in range(drawn.train_images)})
    assert load(own_tree, classes=kept).fingerprint == drawn.fingerprint


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[n99999999]", "n99999999 is not among the 3 classes of the data set"),
        ("[a,b,c,d]", "a, b, c, ... are not among the 3 classes"),
        ("[a,a]", "data.classes names a twice"),
        ("[]", "give class names as"),
        ("0", "data.classes=0: give a number above 0"),
        ("true", "data.classes=True: give a number above 0"),
        ("cat", "data.classes=cat: give a number above 0, class names as"),
    ],
)
def test_wrong_classes_get_one_line(own_tree: Path, value: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        load(own_tree, classes=compose(["data=imagenet", f"data.classes={value}"]).data.classes)
    assert "\n" not in str(caught.value)


def test_the_order_of_the_names_is_not_part_of_a_run() -> None:
    one, other = (compose(["data=digits", f"data.classes={names}"]) for names in ("[7,2]", "['2','7']"))
    assert one.data.classes == other.data.classes == ["2", "7"]
    assert run_id(one) == run_id(other)
    data = build(one.data, one.recipe, torch.device("cpu"))
    assert (data.classes, data.subset) == (2, True)
