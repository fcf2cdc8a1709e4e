"""Reads a .wandb file: a LevelDB log (blocks of 32 KiB, records cut into chunks) of protobuf records."""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768
FILE_HEADER = 7  # ":W&B", magic 0xBEE1, version 0
CHUNK_HEADER = struct.Struct("<IHB")  # checksum, length, type: 1 full, 2 first, 3 middle, 4 last


@dataclass
class Segment:
    """What one .wandb file holds."""

    run_id: str = ""
    group: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    step_metrics: dict[str, str] = field(default_factory=dict)
    artifacts: list[dict[str, str]] = field(default_factory=list)
    exit_code: int | None = None

    @property
    def steps(self) -> list[int]:
        """The step of each history row, as written."""
        return [row["_step"] for row in self.history]


def records(data: bytes) -> list[bytes]:
    """Whole records of the log; a torn tail is left out."""
    assert data[:4] == b":W&B", "not a .wandb file"
    position, found, part = FILE_HEADER, [], b""
    while position + CHUNK_HEADER.size <= len(data):
        left_in_block = BLOCK - position % BLOCK
        if left_in_block < CHUNK_HEADER.size:
            position += left_in_block
            continue
        _, length, kind = CHUNK_HEADER.unpack_from(data, position)
        start = position + CHUNK_HEADER.size
        if kind == 0 or start + length > len(data):
            break
        part += data[start : start + length]
        if kind in (1, 4):
            found.append(part)
            part = b""
        position = start + length
    return found


def read_segment(path: Path) -> Segment:
    """Parse one file."""
    from wandb.proto import wandb_internal_pb2  # every process that collects the tests would load it

    segment = Segment()
    for raw in records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(raw)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            segment.run_id = record.run.run_id
            segment.group = record.run.run_group
            segment.tags = list(record.run.tags)
            for item in record.run.config.update:
                segment.config[item.key] = json.loads(item.value_json)
        elif kind == "history":
            row = {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
            segment.history.append({"_step": record.history.step.num, **row})
        elif kind == "summary":
            for item in record.summary.update:
                segment.summary[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        elif kind == "metric":
            name = record.metric.name or record.metric.glob_name
            if record.metric.step_metric:
                segment.step_metrics[name] = record.metric.step_metric
        elif kind == "artifact":
            manifest = {entry.path: entry.digest for entry in record.artifact.manifest.contents}
            segment.artifacts.append(manifest)
        elif kind == "exit":
            segment.exit_code = record.exit.exit_code
    return segment
