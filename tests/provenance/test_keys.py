from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from facegraft.core.errors import BadInputError, OutputError
from facegraft.provenance.keys import KEY_FILE, config_folder, read_signing_key, signing_key


def test_first_use_makes_a_private_file_and_later_uses_read_it(user_folder: Path) -> None:
    first = signing_key()
    assert signing_key() == first
    assert [path.name for path in user_folder.iterdir()] == [KEY_FILE]
    if os.name == "posix":
        assert stat.S_IMODE((user_folder / KEY_FILE).stat().st_mode) == 0o600


def test_certificates_are_what_c2pa_asks_for() -> None:
    leaf, root = x509.load_pem_x509_certificates(signing_key().chain.encode())
    leaf.verify_directly_issued_by(root)
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.EMAIL_PROTECTION
    ]
    assert leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days > 20 * 365


def test_certificates_name_neither_person_nor_machine() -> None:
    for certificate in x509.load_pem_x509_certificates(signing_key().chain.encode()):
        names = {attribute.value for attribute in certificate.subject}
        assert names <= {"facegraft", "facegraft local signer", "facegraft local authority"}


def test_processes_that_race_for_the_first_key_end_with_the_same_one(tmp_path: Path) -> None:
    folder = tmp_path / "raced"
    folder.mkdir()
    code = (
        "import sys, pathlib; from facegraft.provenance import keys\n"
        "import cryptography.hazmat.primitives.asymmetric.ec, cryptography.x509\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(keys.signing_key(pathlib.Path(sys.argv[1])).serial)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    serials = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert serials == {read_signing_key(folder / KEY_FILE).serial}
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def broken_keys(user_folder: Path) -> dict[str, bytes]:
    good = signing_key(user_folder)
    other = signing_key(user_folder / "other")
    return {
        "empty": b"",
        "noise": b"\x00\xff" * 500,
        "cut": (user_folder / KEY_FILE).read_bytes()[:300],
        "no key": good.chain.encode(),
        "no certificate": good.private_key.encode(),
        "key of another": other.private_key.encode() + good.chain.encode(),
        "wrong issuer": (good.private_key + good.chain.replace(good.root, other.root)).encode(),
    }


@pytest.mark.parametrize(
    "case", ["empty", "noise", "cut", "no key", "no certificate", "key of another", "wrong issuer"]
)
def test_broken_key_files_say_what_to_delete(user_folder: Path, case: str) -> None:
    path = user_folder / KEY_FILE
    path.write_bytes(broken_keys(user_folder)[case])
    with pytest.raises(BadInputError) as caught:
        signing_key()
    assert str(path) in str(caught.value)
    assert "Delete this file" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="FACEGRAFT_HOME"):
        signing_key(tmp_path / "file" / "folder")


def test_a_key_that_others_can_read_is_named(user_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    signing_key()
    (user_folder / KEY_FILE).chmod(0o644)
    signing_key()
    assert "chmod 600" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="the folders of Linux")
def test_the_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert config_folder() == tmp_path / "user"
    monkeypatch.delenv("FACEGRAFT_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert config_folder() == tmp_path / "xdg" / "facegraft"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_folder() == tmp_path / ".config" / "facegraft"
