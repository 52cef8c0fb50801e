"""Folders as the official packages of Cityscapes unpack, in miniature."""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 128, 256

TRAIN = ("aachen/aachen_000000_000019", "bochum/bochum_000000_000313", "ulm/ulm_000007_000019")
VAL = ("frankfurt/frankfurt_000000_000294", "lindau/lindau_000058_000019")


def make_pixels(number: int) -> dict[str, np.ndarray]:
    """The four planes of a frame: stuff, numbered things, groups, void, a caravan."""
    rng = np.random.default_rng(number)
    image = rng.integers(256, size=(HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(image).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    labels = np.full((HEIGHT, WIDTH), 23, np.uint8)
    labels[HEIGHT // 2 :] = 7
    labels[:, : WIDTH // 5] = 11
    instances = labels.astype(np.uint16)
    for label, instance in ((26, 26000), (26, 26001), (24, 24), (29, 29000), (4, 4), (33, 33007)):
        for _ in range(2):  # in two pieces, whose centre may lie between them
            top, left = rng.integers(HEIGHT - 40), rng.integers(WIDTH - 60)
            block = np.s_[top : top + rng.integers(10, 40), left : left + rng.integers(20, 60)]
            labels[block], instances[block] = label, instance
    labels[:3], instances[:3] = 3, 3
    disparity = rng.integers(1, 32768, size=(HEIGHT, WIDTH), dtype=np.uint16)
    disparity[rng.random(disparity.shape) < 0.3] = 0
    disparity[32, 64], disparity[64, 64] = 1, 0
    return {"image": image, "labels": labels, "instances": instances, "disparity": disparity}


def write_raw(folder: Path) -> Path:
    """Write every file of five frames, those that the benchmark doesn't read included."""
    number = 0
    for part, names in (("train", TRAIN), ("val", VAL)):
        for name in names:
            city = name.split("/")[0]
            for package in ("leftImg8bit", "gtFine", "disparity"):
                (folder / package / part / city).mkdir(parents=True, exist_ok=True)
            pixels = make_pixels(number)
            images = {key: Image.fromarray(array) for key, array in pixels.items()}
            images["image"].save(folder / "leftImg8bit" / part / f"{name}_leftImg8bit.png")
            fine = folder / "gtFine" / part
            images["labels"].save(fine / f"{name}_gtFine_labelIds.png")
            images["instances"].save(fine / f"{name}_gtFine_instanceIds.png")
            images["labels"].convert("RGBA").save(fine / f"{name}_gtFine_color.png")
            (fine / f"{name}_gtFine_polygons.json").write_text("{}")
            images["disparity"].save(folder / "disparity" / part / f"{name}_disparity.png")
            number += 1
    for licence in ("license.txt", "README"):
        (folder / licence).write_text("")
    return folder
