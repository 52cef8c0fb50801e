"""Small random data sets in NYU-v2's layout."""

import numpy as np

HEIGHT, WIDTH = 12, 16


def random_frame(generator, height=HEIGHT, width=WIDTH):
    normal = generator.normal(size=(height, width, 3))
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    frame = {
        "image": generator.random((height, width, 3)),
        "label": generator.integers(-1, 13, (height, width)).astype(float),
        "depth": generator.uniform(0.5, 8, (height, width, 1)),
        "normal": normal,
    }
    frame["depth"][:2] = 0
    frame["normal"][:2] = 0
    return frame


def write(root, train=6, val=3, dtype=np.float32, height=HEIGHT, width=WIDTH):
    """Write a data set and return what it holds: (folder, index) -> frame."""
    frames = {}
    for folder, count in (("train", train), ("val", val)):
        for index in range(count):
            generator = np.random.default_rng([count, index])
            frame = random_frame(generator, height, width)
            for part, values in frame.items():
                path = root / folder / part / f"{index}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, values.astype(dtype))
            frames[folder, index] = frame
    return frames
