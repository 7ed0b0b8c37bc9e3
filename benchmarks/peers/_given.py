"""What every runner is given, and how it says how many rows are done. Nothing else is shared."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("rows", type=Path, help="a jsonl file of objects with `text`, the whole prompt")
parser.add_argument("base_url")
parser.add_argument("in_flight", type=int)
given = parser.parse_args()
texts = [json.loads(line)["text"] for line in given.rows.read_text().splitlines()]


def done(rows: int) -> None:
    Path("done.json").write_text(json.dumps({"rows": rows}))
