"""The signing key of this computer's user: made on first use, kept in one private file.

The file holds a P-256 private key, its certificate, and the certificate of the authority that issued it, as PEM.
That authority's own key is thrown away as soon as it has signed. Neither names a person or a machine.
"""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from facegraft.core.errors import BadInputError, MissingPartError, OutputError
from facegraft.core.files import shown

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

log = logging.getLogger(__name__)

KEY_FILE = "signing.pem"
INSTALL = "pip install 'facegraft[provenance]'"

_YEARS_VALID = 30  # nothing vouches for the time of signing, so an expired certificate would end all its signatures
_LARGEST_BYTES = 1 << 20


@dataclass(frozen=True)
class SigningKey:
    """PEM texts.

    Attributes:
        private_key: PKCS#8, unencrypted.
        chain: The signer's certificate, then its issuers.
        root: The last certificate of the chain.
        serial: Number of the signer's certificate, in decimal digits.
    """

    private_key: str
    chain: str
    root: str
    serial: str


def config_folder() -> Path:
    """Where facegraft keeps what belongs to the user: FACEGRAFT_HOME, or the platform's place for settings."""
    if os.environ.get("FACEGRAFT_HOME"):
        return Path(os.environ["FACEGRAFT_HOME"]).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "facegraft"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "facegraft"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "facegraft"


def signing_key(folder: Path | None = None) -> SigningKey:
    """The key in this folder; made if there is none yet.

    Two processes that both find none end up with the same key.

    Args:
        folder: Default: `config_folder()`. Made if missing.

    Raises:
        MissingPartError: `cryptography` is not installed.
        BadInputError: The file is there but holds no usable key; the message says what to delete.
        OutputError: The folder cannot be written.
    """
    path = (config_folder() if folder is None else folder) / KEY_FILE
    if not path.exists():
        _create(path)
    return read_signing_key(path)


def read_signing_key(path: Path) -> SigningKey:
    """The key of a file; checked to belong to its certificate, which must be valid today.

    Raises:
        MissingPartError: `cryptography` is not installed.
        BadInputError: As `signing_key`, or the file is not there.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise _missing() from error
    data = _private_bytes(path)
    try:
        key = serialization.load_pem_private_key(data, password=None)
        chain = x509.load_pem_x509_certificates(data)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("the key is not of the kind P-256")
        if key.public_key() != chain[0].public_key():
            raise ValueError("the key does not belong to the certificate")
        for certificate, issuer in itertools.pairwise(chain):
            certificate.verify_directly_issued_by(issuer)
    except Exception as error:  # the library's parsers raise a dozen unrelated kinds
        raise BadInputError(
            f"{shown(path)}: no usable signing key ({error or type(error).__name__}). {_ADVICE}"
        ) from error
    if not chain[0].not_valid_before_utc <= datetime.now(UTC) <= chain[0].not_valid_after_utc:
        raise BadInputError(
            f"{shown(path)}: its certificate is valid from {chain[0].not_valid_before_utc:%Y-%m-%d} to "
            f"{chain[0].not_valid_after_utc:%Y-%m-%d}, not today. Set the clock right, or: {_ADVICE}"
        )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    texts = [certificate.public_bytes(serialization.Encoding.PEM).decode() for certificate in chain]
    return SigningKey(
        private_key=private.decode(), chain="".join(texts), root=texts[-1], serial=str(chain[0].serial_number)
    )


_ADVICE = "Delete this file; the next signed file gets a new key."


def _private_bytes(path: Path) -> bytes:
    try:
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            log.warning("%s can be read by other users; run `chmod 600` on it", shown(path))
        with path.open("rb") as stream:
            return stream.read(_LARGEST_BYTES)
    except OSError as error:
        raise BadInputError(
            f"{shown(path)}: the signing key cannot be read ({error.strerror}). Make it readable, delete it, or name "
            "another folder in FACEGRAFT_HOME."
        ) from error


def _create(path: Path) -> None:
    """Writes a new key, unless another process was faster: the first complete file stays."""
    data = _new_key()
    temporary = path.with_name(f".{KEY_FILE}-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        _settle(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{shown(path)}: the signing key cannot be written ({error.strerror}). Make the folder writable, name "
            "another one in FACEGRAFT_HOME, or pass --provenance metadata."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _settle(temporary: Path, path: Path) -> None:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links: the last process wins, which only costs a second signer
        if not path.exists():
            temporary.replace(path)


def _new_key() -> bytes:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise _missing() from error
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("facegraft local authority", root_key, root_key, authority=True)
    leaf = _certificate("facegraft local signer", key, root_key, authority=False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + leaf.public_bytes(serialization.Encoding.PEM) + root.public_bytes(serialization.Encoding.PEM)


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey, *, authority: bool
) -> x509.Certificate:
    """An X.509 certificate with what the C2PA specification (14.5.1) asks of a signer or its authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("facegraft local authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(days=365 * _YEARS_VALID))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(_usage(authority=authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "facegraft"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _missing() -> MissingPartError:
    return MissingPartError(f"cryptography is not installed, so no file can be signed; run `{INSTALL}`")
