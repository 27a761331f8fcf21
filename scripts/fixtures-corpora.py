"""Writes test/fixtures/corpora: small files of other writers than ours. Needs pyarrow and the zstd program.

    python scripts/fixtures-corpora.py
"""

import json
import pathlib
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq

root = pathlib.Path(__file__).resolve().parent.parent
out = root / "test/fixtures/corpora"
out.mkdir(parents=True, exist_ok=True)

documents = json.loads((out / "documents.json").read_text())
rows = [*documents[:2], None, *documents[2:], ""]
table = pa.table(
    {
        "id": pa.array(range(len(rows)), pa.int64()),
        "text": pa.array(rows, pa.string()),
        "blob": pa.array([row and row.encode() for row in rows], pa.binary()),
        "tags": pa.array([["a", "b"]] * len(rows), pa.list_(pa.string())),
    }
)
for name, options in {
    "snappy": {"compression": "snappy"},
    "gzip-v2": {"compression": "gzip", "data_page_version": "2.0"},
    "zstd-groups": {"compression": "zstd", "row_group_size": 2},
    "brotli-plain": {"compression": "brotli", "use_dictionary": False},
    "lz4": {"compression": "lz4"},
    "none-delta": {
        "compression": "none",
        "use_dictionary": False,
        "column_encoding": {"text": "DELTA_LENGTH_BYTE_ARRAY"},
    },
}.items():
    pq.write_table(table, out / f"{name}.parquet", **options)

# Two frames of different levels with a skippable frame between, the second without checksum.
text = subprocess.run(
    ["gzip", "-dc", root / "data/sample/conrad-typhoon.txt.gz"], check=True, capture_output=True
).stdout


def zstd(data: bytes, *options: str) -> bytes:
    return subprocess.run(["zstd", "-c", *options], input=data, check=True, capture_output=True).stdout


skippable = bytes.fromhex("502a4d18") + (5).to_bytes(4, "little") + b"other"
half = len(text) // 2
(out / "typhoon.txt.zst").write_bytes(
    zstd(text[:half], "-1") + skippable + zstd(text[half:], "--ultra", "-22", "--no-check")
)
