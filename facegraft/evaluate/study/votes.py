"""Raters and votes in SQLite: one row a vote, safe against a crash, several raters at a time."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from facegraft.core.errors import BadInputError, OutputError
from facegraft.core.files import shown
from facegraft.evaluate.study.schedule import Trial

MOST_RATERS = 10_000
_TABLES = """
CREATE TABLE IF NOT EXISTS study (inputs_sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS raters (
  rater INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, joined REAL NOT NULL, width INTEGER NOT NULL,
  height INTEGER NOT NULL, withdrawn INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS trials (
  rater INTEGER NOT NULL, trial INTEGER NOT NULL, content TEXT NOT NULL, served INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (rater, trial));
CREATE TABLE IF NOT EXISTS votes (
  rater INTEGER NOT NULL, trial INTEGER NOT NULL, block TEXT NOT NULL, stimulus INTEGER NOT NULL, "left" TEXT NOT NULL,
  "right" TEXT NOT NULL, choice TEXT NOT NULL, ms INTEGER NOT NULL, gold TEXT NOT NULL, expected TEXT NOT NULL,
  "repeat" INTEGER NOT NULL, time REAL NOT NULL, PRIMARY KEY (rater, trial));
"""


@dataclass(frozen=True)
class Vote:
    """One row: what was decided, where and how fast.

    Attributes:
        block: Name of the question.
        left: Condition, or `clean` or `spoilt` in an attention check.
        right: As `left`; empty where one thing is judged alone.
        ms: From when the pictures were there until the answer.
        gold: `artefact`, `instruction`, or empty.
        expected: Choices that pass the check.
        repeat: Number of the trial that this one repeats, or -1.
        time: Seconds since 1970.
    """

    rater: int
    trial: int
    block: str
    stimulus: int
    left: str
    right: str
    choice: str
    ms: int
    gold: str
    expected: str
    repeat: int
    time: float

    @property
    def counts(self) -> bool:
        """Neither a check nor a repeat."""
        return not self.gold and self.repeat < 0


COLUMNS = tuple(field.name for field in dataclasses.fields(Vote))


class VoteStore:
    """The file of votes of one study; may be used by many threads."""

    def __init__(self, path: Path, inputs_sha256: str) -> None:
        """Opens or makes the file.

        Raises:
            OutputError: It cannot be written.
            BadInputError: It is no such file, or of another study.
        """
        self._lock = threading.RLock()
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")  # a power cut may cost the last answers, no more
            self._database.executescript(_TABLES)
        except sqlite3.OperationalError as error:
            raise OutputError(f"{shown(path)}: cannot be written ({error}); change the folder's mode") from error
        except sqlite3.DatabaseError as error:
            raise BadInputError(f"{shown(path)}: is no file of votes ({error}); move it away") from error
        known = self._database.execute("SELECT inputs_sha256 FROM study").fetchone()
        if known is None:
            self._database.execute("INSERT INTO study VALUES (?)", (inputs_sha256,))
        elif known[0] != inputs_sha256:
            raise BadInputError(f"{shown(path)}: holds votes of another study; move it away")

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def join(self, key: str, width: int, height: int) -> int | None:
        """Number of a new rater, from 1 on; None where there are too many already."""
        with self._transaction() as database:
            (number,) = database.execute("SELECT COUNT(*) FROM raters").fetchone()
            if number >= MOST_RATERS:
                return None
            row = (number + 1, key, time.time(), width, height)
            database.execute("INSERT INTO raters (rater, key, joined, width, height) VALUES (?, ?, ?, ?, ?)", row)
            return int(number) + 1

    def rater(self, key: str) -> int | None:
        """Number of the rater with this key; None for strangers and for those who withdrew."""
        with self._lock:
            row = self._database.execute("SELECT rater FROM raters WHERE key = ? AND withdrawn = 0", (key,)).fetchone()
        return None if row is None else int(row[0])

    def assign(self, rater: int, trials: list[Trial]) -> None:
        """Stores what a new rater will see."""
        rows = [(rater, at, json.dumps(dataclasses.asdict(trial))) for at, trial in enumerate(trials)]
        with self._transaction() as database:
            database.executemany("INSERT OR IGNORE INTO trials (rater, trial, content) VALUES (?, ?, ?)", rows)

    def trial(self, rater: int, at: int) -> tuple[Trial, bool] | None:
        """A rater's trial, and whether it was served; None behind the last."""
        with self._lock:
            row = self._database.execute(
                "SELECT content, served FROM trials WHERE rater = ? AND trial = ?", (rater, at)
            ).fetchone()
        return None if row is None else (Trial(**json.loads(row[0])), bool(row[1]))

    def serve(self, rater: int, at: int, trial: Trial) -> None:
        """Fixes what a rater sees from now on at this place."""
        with self._transaction() as database:
            database.execute(
                "UPDATE trials SET content = ?, served = 1 WHERE rater = ? AND trial = ? AND served = 0",
                (json.dumps(dataclasses.asdict(trial)), rater, at),
            )

    def progress(self, rater: int) -> tuple[int, int]:
        """How many trials are answered, which is the number of the next one, and how many there are."""
        with self._lock:
            (done,) = self._database.execute("SELECT COUNT(*) FROM votes WHERE rater = ?", (rater,)).fetchone()
            (total,) = self._database.execute("SELECT COUNT(*) FROM trials WHERE rater = ?", (rater,)).fetchone()
        return int(done), int(total)

    def vote(self, rater: int, at: int, choice: str, ms: int) -> bool:
        """Stores an answer; the first one stands. False where there was one."""
        with self._transaction() as database:
            found = self.trial(rater, at)
            if found is None:
                raise ValueError(f"rater {rater} has no trial {at}")
            trial = found[0]
            asked = (rater, at, trial.question, trial.stimulus, trial.left, trial.right)
            row = (*asked, choice, ms, trial.gold, trial.expected, trial.repeat_of, time.time())
            done = database.execute(f"INSERT OR IGNORE INTO votes VALUES ({','.join('?' * len(row))})", row)  # noqa: S608 - only question marks
            return done.rowcount == 1

    def withdraw(self, rater: int) -> int:
        """Deletes all answers of a rater; how many there were."""
        with self._transaction() as database:
            gone = database.execute("DELETE FROM votes WHERE rater = ?", (rater,)).rowcount
            database.execute("DELETE FROM trials WHERE rater = ?", (rater,))
            database.execute("UPDATE raters SET withdrawn = 1, key = 'gone ' || rater WHERE rater = ?", (rater,))
            return gone

    def votes(self) -> list[Vote]:
        """All of them, by rater and trial."""
        with self._lock:
            rows = self._database.execute(f"SELECT {_quoted()} FROM votes ORDER BY rater, trial").fetchall()  # noqa: S608 - names of ours
        return [Vote(*row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Raters who joined, who finished, who withdrew; votes."""
        asked = {
            "joined": "SELECT COUNT(*) FROM raters",
            "withdrawn": "SELECT COUNT(*) FROM raters WHERE withdrawn = 1",
            "finished": "SELECT COUNT(*) FROM (SELECT t.rater FROM trials t LEFT JOIN votes v ON v.rater = t.rater AND "
            "v.trial = t.trial GROUP BY t.rater HAVING COUNT(*) = COUNT(v.trial))",
            "votes": "SELECT COUNT(*) FROM votes",
        }
        with self._lock:
            return {name: int(self._database.execute(query).fetchone()[0]) for name, query in asked.items()}

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            outermost = not self._database.in_transaction
            if outermost:
                self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                if outermost:
                    self._database.execute("ROLLBACK")
                raise
            if outermost:
                self._database.execute("COMMIT")


def votes_csv(votes: list[Vote]) -> str:
    """The raw votes as CSV, times rounded to the day, as they tell who sat there when."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS[:-1], "day"])
    for vote in votes:
        day = time.strftime("%Y-%m-%d", time.gmtime(vote.time))
        writer.writerow([*dataclasses.astuple(vote)[:-1], day])
    return out.getvalue()


def _quoted() -> str:
    return ", ".join(f'"{name}"' for name in COLUMNS)
