"""The command line on file systems that refuse some of the system calls.

``python odd_systems.py LOCKS SYNC WORDS`` runs a command whose locks fail with the error LOCKS and
whose folders can't be synced with the error SYNC; ``-`` stands for no error.
"""

import errno
import fcntl
import os
import stat
import sys

from mtl_bench.cli import main


def refuse(name):
    raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))


if __name__ == "__main__":
    locks, sync, *words = sys.argv[1:]
    if locks != "-":
        fcntl.flock = lambda *_: refuse(locks)
    plain_fsync = os.fsync

    def fsync(file):
        if sync != "-" and stat.S_ISDIR(os.fstat(file).st_mode):
            refuse(sync)
        plain_fsync(file)

    os.fsync = fsync
    sys.exit(main(words))
