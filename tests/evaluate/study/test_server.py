"""The server as an attacker and as a clumsy rater see it: token, host, paths, sizes, order, votes given twice."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facegraft.core.errors import BadInputError
from facegraft.evaluate.study.rehearse import running
from facegraft.evaluate.study.server import MOST_BODY_BYTES, StudyServer
from facegraft.evaluate.study.simulate import Simulated, rater_rng, vote_as
from facegraft.evaluate.study.votes import VoteStore, votes_csv
from tests.evaluate.study.studies import build

TOKEN = "-".join(("a", "word", "of", "tests"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StudyServer]:
    with running(StudyServer(build(tmp_path, trials=6), token=TOKEN)) as served:
        yield served


def ask(
    server: StudyServer, path: str, body: object = None, method: str = "", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in small letters, content."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = ({"Content-Type": "application/json"} if data is not None else {}) | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def post(server: StudyServer, what: str, **body: Any) -> tuple[int, dict[str, Any]]:
    status, _, content = ask(server, f"/{TOKEN}/api/{what}", body)
    return status, json.loads(content)


def join(server: StudyServer) -> str:
    status, answer = post(server, "join", consent=True, adult=True, width=800, height=600)
    assert status == 200
    return str(answer["key"])


def test_without_the_token_there_is_nothing(server: StudyServer) -> None:
    for path in ("/", "/x/", f"/{TOKEN}", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/", "/favicon.ico", "/x/api/study", "/%00/"):
        status, _, content = ask(server, path)
        assert (status, json.loads(content)) == (403, {"error": "forbidden"}), path
    assert ask(server, "/x/api/join", {})[0] == 403
    assert ask(server, f"/{TOKEN}/")[0] == 200


def test_only_this_machine_is_listened_to(server: StudyServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}/{TOKEN}/"


def test_other_hosts_and_origins_are_refused(server: StudyServer) -> None:
    path, own = f"/{TOKEN}/api/study", f"127.0.0.1:{server.server_port}"
    assert ask(server, path, Host="evil.example")[0] == 403  # DNS rebinding
    assert ask(server, path, Host=own)[0] == 200
    assert ask(server, path, Host=own, Origin="https://evil.example")[0] == 403
    assert ask(server, path, Host=own, Origin="null")[0] == 403
    assert ask(server, path, Host=own, Origin=f"http://{own}")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "../study.json",
        "study.json",
        "votes.sqlite",
        "media/../study.json",
        "media/../../pictures/one/a.png",
        "media/%2e%2e/study.json",
        "media/..%2fstudy.json",
        "media//etc/passwd",
        "page/index.html",
        "media/",
        "media/0123456789abcdef.png",
        "media/0123456789abcdef.png%00.jpg",
    ],
)
def test_no_other_file_is_served(server: StudyServer, path: str) -> None:
    assert ask(server, f"/{TOKEN}/{path}")[0] == 404


def test_headers_allow_nothing_from_elsewhere(server: StudyServer) -> None:
    _, headers, content = ask(server, f"/{TOKEN}/")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "set-cookie" not in headers
    assert b"http://" not in content
    assert b"https://" not in content
    assert b"style=" not in content


def test_ranges_of_a_file(server: StudyServer) -> None:
    name = server.session.study.stimuli[0].media["one"]
    path, whole = f"/{TOKEN}/media/{name}", (server.folder / "media" / name).read_bytes()
    status, headers, content = ask(server, path)
    assert (status, content, headers["accept-ranges"]) == (200, whole, "bytes")
    for asked, part in (("0-", whole), ("3-9", whole[3:10]), ("-5", whole[-5:]), ("7-99999", whole[7:])):
        status, headers, content = ask(server, path, Range=f"bytes={asked}")
        assert (status, content) == (206, part), asked
        assert headers["content-range"].endswith(f"/{len(whole)}")
    assert ask(server, path, Range=f"bytes={len(whole)}-")[0] == 416
    assert ask(server, path, Range="bytes=9-3")[0] == 416
    assert ask(server, path, Range="bytes=0-1,4-5")[0] == 200
    status, headers, content = ask(server, path, method="HEAD")
    assert (status, content, headers["content-length"]) == (200, b"", str(len(whole)))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{" + b" " * MOST_BODY_BYTES + b"}", 413),
        (b"no json", 400),
        (b"[1]", 400),
        (b"\xff\xfe", 400),
        (b"[" * 4000, 400),
        (b"{}", 400),
        (b'{"consent": true, "adult": false, "width": 1, "height": 1}', 400),
        (b'{"consent": true, "adult": true, "width": "1", "height": 1}', 400),
        (b'{"consent": true, "adult": true, "width": true, "height": 1}', 400),
        (b'{"consent": true, "adult": true, "width": 1e9, "height": 1}', 400),
    ],
)
def test_bodies_are_checked(server: StudyServer, body: bytes, status: int) -> None:
    assert ask(server, f"/{TOKEN}/api/join", body)[0] == status
    assert server.store.counts()["joined"] == 0


def test_other_types_methods_and_calls_are_refused(server: StudyServer) -> None:
    assert ask(server, f"/{TOKEN}/api/join", {}, Content_Type="text/plain")[0] == 415
    assert ask(server, f"/{TOKEN}/api/nothing", {})[0] == 404
    assert ask(server, f"/{TOKEN}/api/join")[0] == 404
    assert ask(server, f"/{TOKEN}/", method="PUT")[0] == 501


def test_a_body_without_length_is_refused(server: StudyServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
        host = f"127.0.0.1:{server.server_port}"
        raw.sendall(
            f"POST /{TOKEN}/api/join HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 411")


def test_the_page_never_learns_a_condition_or_a_check(server: StudyServer) -> None:
    _, _, content = ask(server, f"/{TOKEN}/api/study")
    assert not {"one", "two", "gold"} & set(json.loads(content))
    key = join(server)
    for _ in range(7):
        _, trial = post(server, "next", key=key)
        assert set(trial) <= {
            "done", "total", "rater", "trial", "new_block", "question", "grades", "media", "references", "instruction",
            "preload",
        }  # fmt: skip
        text = json.dumps(trial)
        assert '"one"' not in text
        assert "spoilt" not in text
        post(server, "vote", key=key, trial=trial["trial"], choice="left", ms=900)


def test_votes_in_order_once_and_of_what_was_asked(server: StudyServer) -> None:
    key = join(server)
    assert post(server, "vote", key=key, trial=0, choice="left", ms=5)[0] == 409  # not served yet
    _, first = post(server, "next", key=key)
    assert post(server, "next", key=key)[1] == first  # a reload goes on where it was
    assert post(server, "vote", key=key, trial=0, choice="same", ms=5)[0] == 400
    assert post(server, "vote", key=key, trial=0, choice="left", ms=-1)[0] == 400
    assert post(server, "vote", key=key, trial=0, choice="left", ms=2.5)[0] == 400
    assert post(server, "vote", key=key, trial=1, choice="left", ms=5)[0] == 409
    assert post(server, "vote", key=key, trial=99, choice="left", ms=5)[0] == 404
    assert post(server, "vote", key="who", trial=0, choice="left", ms=5)[0] == 404
    assert post(server, "vote", key=1, trial=0, choice="left", ms=5)[0] == 404
    assert post(server, "vote", key=key, trial=0, choice="left", ms=1700)[1] == {"stored": True, "done": 1, "total": 7}
    assert post(server, "vote", key=key, trial=0, choice="right", ms=9)[1] == {"stored": False, "done": 1, "total": 7}
    (vote,) = server.store.votes()
    assert (vote.rater, vote.trial, vote.choice, vote.ms, vote.block) == (1, 0, "left", 1700, "natural")
    assert {vote.left, vote.right} == {"one", "two"}
    assert server.session.study.stimuli[vote.stimulus].media[vote.left] == first["media"][0]


def test_a_rater_may_withdraw(server: StudyServer) -> None:
    key = join(server)
    post(server, "next", key=key)
    post(server, "vote", key=key, trial=0, choice="left", ms=1700)
    assert post(server, "withdraw", key=key)[1] == {"deleted": 1}
    assert server.store.votes() == []
    assert post(server, "next", key=key)[0] == 404
    assert server.store.counts() == {"joined": 1, "withdrawn": 1, "finished": 0, "votes": 0}
    join(server)  # numbers are not given twice
    assert post(server, "next", key=join(server))[1]["rater"] == 3


def test_raters_at_the_same_time_do_not_mix(server: StudyServer) -> None:
    study, scale = server.session.study, Simulated({"one": 0.0, "two": 0.0})
    threads = [
        threading.Thread(target=vote_as, args=(study, server.address, scale, rater_rng(study, 0, rater)))
        for rater in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    votes = server.store.votes()
    assert [(vote.rater, vote.trial) for vote in votes] == [(r, t) for r in range(1, 7) for t in range(7)]
    assert server.store.counts()["finished"] == 6


def test_votes_outlive_the_server(tmp_path: Path) -> None:
    folder = build(tmp_path, trials=6)
    with running(StudyServer(folder, token=TOKEN)) as served:
        key = join(served)
        post(served, "next", key=key)
        post(served, "vote", key=key, trial=0, choice="right", ms=1700)
    with running(StudyServer(folder, token=TOKEN)) as served:
        assert post(served, "next", key=key)[1]["trial"] == 1


def test_active_pairs_are_fixed_once_shown_and_repeated_rightly(tmp_path: Path) -> None:
    folder = build(tmp_path, ("one", "two", "three"), trials=21, active=True)
    with running(StudyServer(folder, token=TOKEN)) as served:
        scale = Simulated({"one": 0.0, "two": 0.0, "three": 3.0})
        for rater in range(2):
            vote_as(served.session.study, served.address, scale, rater_rng(served.session.study, 0, rater))
        key = join(served)
        first = post(served, "next", key=key)[1]["media"]
        vote_as(served.session.study, served.address, scale, rater_rng(served.session.study, 0, 9))
        assert post(served, "next", key=key)[1]["media"] == first
        votes = served.store.votes()
    by_place = {(vote.rater, vote.trial): vote for vote in votes}
    repeats = [vote for vote in votes if vote.repeat >= 0]
    assert repeats
    for again in repeats:
        before = by_place[again.rater, again.repeat]
        assert (before.left, before.right, before.stimulus) == (again.right, again.left, again.stimulus)
    asked = Counter(frozenset((vote.left, vote.right)) for vote in votes if vote.counts)
    assert asked.most_common(1)[0][0] == {"one", "two"}  # the pair that stays undecided


@pytest.mark.parametrize(
    ("options", "message"),
    [({"token": "short"}, "--token"), ({"token": "with/slash/in"}, "--token"), ({"port": 99999}, "--port: expected")],
)
def test_what_cannot_be_served(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        StudyServer(build(tmp_path), **options)


def test_a_port_in_use_is_told(server: StudyServer, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BadInputError, match="cannot be used"):
            StudyServer(server.folder, port=taken.getsockname()[1])


def test_votes_of_another_study_are_not_taken(tmp_path: Path) -> None:
    VoteStore(tmp_path / "votes.sqlite", "one").close()
    with pytest.raises(BadInputError, match="another study"):
        VoteStore(tmp_path / "votes.sqlite", "two")
    (tmp_path / "text.sqlite").write_text("no database, but long enough to be read as one" * 30, encoding="utf-8")
    with pytest.raises(BadInputError, match="no file of votes"):
        VoteStore(tmp_path / "text.sqlite", "one")


def test_published_votes_hold_no_time_of_day(server: StudyServer) -> None:
    key = join(server)
    post(server, "next", key=key)
    post(server, "vote", key=key, trial=0, choice="left", ms=1700)
    head, row = votes_csv(server.store.votes()).splitlines()
    assert head.split(",")[-1] == "day"
    assert len(row.split(",")[-1]) == 10
