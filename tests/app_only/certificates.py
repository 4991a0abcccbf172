"""Certificates of apps, in files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


@cache
def _key(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Certificate:
    """One, written to `path` with its private key; `write` puts another in its place."""

    made = 0

    def __init__(self, path: Path, *, days: float = 365) -> None:
        self.path = path
        self.write(days=days)

    def write(self, *, days: float = 365) -> None:
        Certificate.made += 1
        key = self.key = _key(Certificate.made % 4)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"app {Certificate.made}")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=days))
            .sign(key, hashes.SHA256())
        )
        self.public = made.public_bytes(serialization.Encoding.PEM).decode()
        self.private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        self.path.write_text(self.public + self.private)
