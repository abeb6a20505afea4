"""The leaderboard from the results in benchmarks/history, and how results come into it.

    python benchmarks/leaderboard.py add measured/results.json      a compact copy into the history of this version
    python benchmarks/leaderboard.py add --clips results.json       only what was measured on clips
    python benchmarks/leaderboard.py build                          docs/leaderboard.md and docs/leaderboard.html

Results are made by `facegraft eval`. Numbers of single cases stay out of the history.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.core.files import atomic_path
from facegraft.evaluate.leaderboard import as_markdown, as_page, boards, current, history_name, read_history, with_clips
from facegraft.evaluate.results import compact, load, save

ROOT = Path(__file__).parents[1]
COMMAND = "python benchmarks/leaderboard.py build"


def add(results: Path, history: Path, *, clips: bool = False) -> Path:
    """Writes a compact copy of results, or of their part on clips, and returns where it lies."""
    whole = load(results)
    if clips and whole.clips is None:
        raise BadInputError(f"{results}: holds nothing on clips")
    report = with_clips(whole)[1] if clips else whole
    path = history / report.made["facegraft"] / history_name(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(compact(report), path)
    return path


def build(history: Path, docs: Path) -> list[Path]:
    """Writes both documents and returns their paths."""
    found = current(boards(read_history(history)))
    texts = {docs / "leaderboard.md": as_markdown(found, COMMAND), docs / "leaderboard.html": as_page(found)}
    for path, text in texts.items():
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(texts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--history", type=Path, default=ROOT / "benchmarks" / "history")
    actions = parser.add_subparsers(dest="action", required=True)
    adding = actions.add_parser("add")
    adding.add_argument("results", type=Path, nargs="+")
    adding.add_argument("--clips", action="store_true", help="only what was measured on clips")
    actions.add_parser("build").add_argument("--docs", type=Path, default=ROOT / "docs")
    args = parser.parse_args()
    try:
        if args.action == "add":
            written = [add(path, args.history, clips=args.clips) for path in args.results]
        else:
            written = build(args.history, args.docs)
    except FacegraftError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps({"written": [str(path) for path in written]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
