"""Reads the file of an offline run of W&B: protocol buffers in the log format of LevelDB."""

import json
import struct

BLOCK = 32768


def read_records(path):
    """Yield the records of a .wandb file."""
    from wandb.proto.wandb_internal_pb2 import Record

    content = path.read_bytes()
    assert content[:4] == b":W&B"
    at, whole = 7, b""
    while at < len(content):
        left = BLOCK - at % BLOCK
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


class OfflineRun:
    """What one .wandb file says: identity, configuration, history, summary and exit status."""

    def __init__(self, path):
        self.config, self.summary, self.history, self.exit = {}, {}, [], None
        for record in read_records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self.update(self.config, record.run.config.update)
            elif kind == "config":
                self.update(self.config, record.config.update)
            elif kind == "summary":
                self.update(self.summary, record.summary.update)
            elif kind == "history":
                row = {}
                self.update(row, record.history.item)
                self.history.append(row)
            elif kind == "exit":
                self.exit = record.exit.exit_code

    @staticmethod
    def update(values, items):
        for item in items:
            keys = [item.key] if item.key else list(item.nested_key)
            values["/".join(keys)] = json.loads(item.value_json)

    @property
    def steps(self):
        return [row["_step"] for row in self.history]
