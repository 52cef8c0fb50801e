"""Miniatures of the files that MNIST, CIFAR-100 and CelebA are published as."""

import gzip
import hashlib
import io
import pickle
import tarfile
import zipfile
from typing import ClassVar

import numpy as np
from PIL import Image

from mtl_bench.datasets.celeba import files as celeba
from mtl_bench.datasets.cifar100 import archive as cifar100
from mtl_bench.datasets.cifar100.labels import SUPERCLASS_OF, SUPERCLASSES
from mtl_bench.datasets.multimnist import digits as mnist
from mtl_bench.datasets.store.originals import Original


def originals_of(folder, names):
    """Return the files of a folder as if they had been published."""
    return [Original(n, hashlib.sha256((folder / n).read_bytes()).hexdigest()) for n in names]


def idx(values):
    """Return the bytes of an idx file, packed."""
    head = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return gzip.compress(head + values.astype(np.uint8).tobytes(), mtime=0)


def write_mnist(folder, train=12, test=6):
    """Write MNIST's four files; return the images and labels of each part."""
    rng, parts = np.random.default_rng(0), {}
    folder.mkdir(parents=True)
    for (part, names), count in zip(mnist.MEMBERS.items(), (train, test), strict=True):
        images, labels = rng.integers(256, size=(count, 28, 28)), rng.integers(10, size=count)
        parts[part] = images, labels
        for name, values in zip(names, (images, labels), strict=True):
            (folder / name).write_bytes(idx(values))
    return parts


class Python2Pickler(pickle._Pickler):
    """Pickles bytes and text as Python 2 pickled its str, and arrays as NumPy 1 did."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)
        self.memoize(value)

    def save_text(self, value):
        self.save_bytes(value.encode("ascii"))

    def save_global(self, obj, name=None):
        module = obj.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{name or obj.__name__}\n".encode())
        self.memoize(obj)

    dispatch[bytes] = save_bytes
    dispatch[str] = save_text
    dispatch[type] = save_global
    dispatch[type(np.dtype)] = save_global
    dispatch[type(len)] = save_global
    dispatch[type(pickle.dumps)] = save_global


def dump_as_python2(value):
    stream = io.BytesIO()
    Python2Pickler(stream, 2).dump(value)
    return stream.getvalue()


def cifar100_part(classes, seed=0):
    """Return what the pickle of a part holds."""
    rng = np.random.default_rng(seed)
    return {
        "data": rng.integers(256, size=(len(classes), 3072)).astype(np.uint8),
        "fine_labels": list(map(int, classes)),
        "coarse_labels": SUPERCLASS_OF[classes].tolist(),
        "filenames": [f"{number}.png" for number in range(len(classes))],
        "batch_label": "a part",
    }


def write_cifar100(folder, dump=dump_as_python2, **changed):
    """Write the archive: two pictures of each class to train on, one to test on."""
    members = {
        "train": cifar100_part(np.arange(200) % 100, 1),
        "test": cifar100_part(np.arange(100), 2),
        "meta": {"coarse_label_names": list(SUPERCLASSES), "fine_label_names": []},
    } | changed
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / cifar100.ARCHIVE, "w:gz") as opened:
        for name, value in members.items():
            content = value if isinstance(value, bytes) else dump(value)
            member = tarfile.TarInfo(f"{cifar100.FOLDER}/{name}")
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return members


def write_celeba(folder, parts=(0, 0, 0, 0, 1, 2, 2), size=(178, 218)):
    """Write the archive and the two lists; return the attributes."""
    rng = np.random.default_rng(0)
    attributes = rng.integers(2, size=(len(parts), len(celeba.NAMES)))
    names = [f"{number:06d}.jpg" for number in range(1, len(parts) + 1)]
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / celeba.ARCHIVE, "w") as opened:
        for number, name in enumerate(names):
            content = io.BytesIO()
            colour = (30 * number, 255 - 30 * number, 100)
            Image.new("RGB", size, colour).save(content, "JPEG", quality=95)
            opened.writestr(f"{celeba.FOLDER}/{name}", content.getvalue())
    rows = [
        f"{name} {' '.join(f'{2 * a - 1:2d}' for a in own)} \n"
        for name, own in zip(names, attributes, strict=True)
    ]
    head = f"{len(parts)}\n{' '.join(celeba.NAMES)} \n"
    (folder / celeba.ATTRIBUTES).write_text(head + "".join(rows))
    (folder / celeba.PARTITION).write_text(
        "".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True))
    )
    return attributes


WRITE = {"multimnist": write_mnist, "cifar100": write_cifar100, "celeba": write_celeba}
PUBLISHED = {
    "multimnist": mnist.FILES.originals,
    "cifar100": cifar100.FILES.originals,
    "celeba": celeba.FILES.originals,
}


def write_prepared(dataset, folder):
    """Write a miniature and prepare it."""
    from importlib import import_module

    WRITE[dataset](folder)
    module = import_module(f"mtl_bench.datasets.{dataset}.prepare")
    names = [original.name for original in PUBLISHED[dataset]]
    module.prepare(folder, report=lambda line: None, originals=originals_of(folder, names))
    return module
