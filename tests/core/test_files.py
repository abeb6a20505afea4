from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from facegraft.core.errors import BadInputError, OutputError
from facegraft.core.files import (
    atomic_path,
    check_input_file,
    check_output,
    entries,
    read_bytes,
    sha256,
    shown,
    sniff,
    sniff_bytes,
)


def only(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_name_appears_when_the_block_ends(tmp_path):
    out = tmp_path / "out.png"
    with atomic_path(out) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"
        assert not out.exists()
    assert out.read_bytes() == b"new"
    assert only(tmp_path) == ["out.png"]


def test_an_output_is_checked_and_left_as_it_is(tmp_path: Path) -> None:
    old = tmp_path / "old.png"
    old.write_bytes(b"old")
    check_output(old)
    check_output(tmp_path / "new.png")
    for name in ("", "missing/new.png"):
        with pytest.raises(OutputError):
            check_output(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    out = tmp_path / "out.png"
    out.write_bytes(b"old")

    def fail_half_way() -> None:
        with atomic_path(out) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert out.read_bytes() == b"old"
    assert only(tmp_path) == ["out.png"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    """A limit on file size makes the kernel refuse the write half way, as a full disk does."""
    pytest.importorskip("resource", reason="POSIX only")
    program = """
import resource, sys
from pathlib import Path
from facegraft.core.errors import OutputError
from facegraft.core.files import atomic_path
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_path(Path(sys.argv[1])) as temporary:
        temporary.write_bytes(bytes(5000))
except OutputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out.png")], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 1
    assert "cannot be written (file too large)" in done.stdout
    assert only(tmp_path) == []


def test_new_files_obey_the_umask_and_old_ones_keep_their_mode(tmp_path):
    old_umask = os.umask(0o027)
    try:
        for name in ("new", "old"):
            if name == "old":
                (tmp_path / name).touch()
                (tmp_path / name).chmod(0o664)
            with atomic_path(tmp_path / name) as temporary:
                temporary.write_bytes(b"x")
    finally:
        os.umask(old_umask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o664


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "real" / "file.png")
    with atomic_path(tmp_path / "link.png") as temporary:
        temporary.write_bytes(b"x")
    assert (tmp_path / "link.png").is_symlink()
    assert only(tmp_path / "real") == ["file.png"]


def test_the_longest_name_a_folder_takes(tmp_path):
    out = tmp_path / ("x" * 251 + ".png")
    with atomic_path(out) as temporary:
        temporary.write_bytes(b"x")
    assert only(tmp_path) == [out.name]


def test_outputs_that_cannot_be_written(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = only(tmp_path)
    for name in ("folder", "loop", "pipe", "missing/out.png", "file/out.png", "y" * 300, "nul\0.png"):
        with pytest.raises(OutputError) as caught, atomic_path(tmp_path / name):
            pytest.fail("the block must not run")
        assert "\n" not in str(caught.value)
    assert only(tmp_path) == before


def test_an_error_of_another_file_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out"):
        (tmp_path / "other").read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path):
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed").chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"), atomic_path(tmp_path / "closed" / "out"):
        pytest.fail("the block must not run")
    (tmp_path / "secret").touch(mode=0)
    with pytest.raises(BadInputError, match="no permission"):
        read_bytes(tmp_path / "secret")


def test_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "long").write_bytes(bytes(3_000_000))
    assert sha256(tmp_path / "long") == hashlib.sha256(bytes(3_000_000)).hexdigest()


@pytest.mark.parametrize("use", [check_input_file, read_bytes, sha256, sniff])
def test_what_is_no_plain_file_is_refused_without_opening_it(tmp_path, use):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "", "missing", "x" * 300, "nul\0"):
        with pytest.raises(BadInputError) as caught:
            use(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "inode/x-empty"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif", "image/avif"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", "image/avif"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2", "video/mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video/quicktime"),
        (b"\x1aE\xdf\xa3\x9f", "video/x-matroska"),
        (b"G" + bytes(187) + b"G", "video/mp2t"),
        (bytes(4) + b"G" + bytes(191) + b"G", "video/mp2t"),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "video/x-ms-asf"),
        (b"\0\0\0\x08wide\0\0\x10\0mdat", "video/quicktime"),
        (b"\0\0\x10\0moov\0\0\0\x6cmvhd", "video/quicktime"),
        (b"The free encyclopedia", "text/plain"),
        (b"OggS\0\2" + bytes(22) + b"\x80theora", "video/ogg"),
        (b"OggS\0\2" + bytes(22) + b"\x01vorbis", "application/ogg"),
        (b"Grey is a colour, not a transport stream", "text/plain"),
        ("лицо".encode()[:-1], "text/plain"),
        (bytes(range(256)), None),
        (b"\x80" * 9, None),
    ],
)
def test_content_is_known_by_its_first_bytes(head, kind):
    assert sniff_bytes(head) == kind


def test_shown_is_one_printable_line():
    for name in ("a\nb", "a\rb\u2028c", os.fsdecode(b"\xff\xfe"), "\x1b[31mred"):
        assert shown(Path(name)).isprintable()
    assert shown(Path("лицо 'x'.png")) == "лицо 'x'.png"


def test_entries_come_by_name_and_hidden_ones_do_not(tmp_path):
    for name in ("b.png", "a.png", "._a.png", ".DS_Store"):
        (tmp_path / name).touch()
    assert [path.name for path in entries(tmp_path)] == ["a.png", "b.png"]
    assert entries(tmp_path / "nowhere") == entries(tmp_path / "a.png") == []
