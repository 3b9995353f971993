"""TLS of the gate's own port: the context, the channel binding, and a self-signed certificate for a first start."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ALPN = "postgresql"
VALID_DAYS = 825
SHUTDOWN_TIMEOUT_S = 5.0  # for the peer to say goodbye


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """`end_point` is tls-server-end-point of RFC 5929: the hash of the certificate that the context shows."""

    context: ssl.SSLContext
    end_point: bytes


def load(certificate: Path, key: Path) -> TlsIdentity:
    """Raises OSError or ssl.SSLError for files that are missing or do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols([ALPN])
    return TlsIdentity(context, _end_point(certificate.read_bytes()))


def _end_point(pem: bytes) -> bytes:
    """RFC 5929 section 4.1: the signature's own hash, SHA-256 in place of MD5 and SHA-1 (and where it has none)."""
    shown = x509.load_pem_x509_certificates(pem)[0]
    algorithm = shown.signature_hash_algorithm
    name = "sha256" if algorithm is None or algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name, shown.public_bytes(serialization.Encoding.DER)).digest()


def make_self_signed(folder: Path, hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1")) -> tuple[Path, Path]:
    """Write server.crt and server.key (mode 600) into the folder unless both are there; their paths.

    Clients can encrypt with it, and pin it as their root certificate; it proves nothing to others.
    """
    certificate, key = folder / "server.crt", folder / "server.key"
    if certificate.exists() and key.exists():
        return certificate, key
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
