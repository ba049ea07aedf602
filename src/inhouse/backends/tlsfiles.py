"""TLS contexts from PEM files, made again when the files change, and TLS failures in words. Connects nothing."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Protocol

from inhouse.domain import InhouseError, Network

POLL_S = 1.0
"""How often the data port's files are looked at."""
_ALPN = ("http/1.1",)
_NO_PASSPHRASE = ""
"""Given in place of a passphrase, so that OpenSSL never asks for one on the terminal."""
_log = logging.getLogger("inhouse.backends")

_UNTRUSTED = frozenset({2, 18, 19, 20, 21})
_NOT_YET, _EXPIRED = 9, 10
_OTHER_NAME = frozenset({62, 64})
_WANTS_CERTIFICATE = frozenset(
    {
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
_SPEAKS_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
_TOO_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"})

_Stamp = tuple[int, int, int] | None


class TlsFileError(InhouseError):
    """A PEM file that cannot be used.

    Args:
        setting: the setting that names the file (`ca_file`).
        problem: what is wrong, one clause without a full stop.
        fix: what to do about it, one sentence.
    """

    def __init__(self, setting: str, problem: str, fix: str) -> None:
        self.setting = setting
        self.problem = problem
        self.fix = fix
        super().__init__(f"{problem}. Fix: {fix}")


class ServerTlsFiles(Protocol):
    """The PEM files of a listening port; with `client_ca_file`, clients must show a certificate of that authority."""

    @property
    def cert_file(self) -> str:
        """Certificate chain."""
        ...

    @property
    def key_file(self) -> str:
        """Private key, without a passphrase."""
        ...

    @property
    def client_ca_file(self) -> str | None:
        """Authority of the clients' certificates."""
        ...


class ClientContexts:
    """TLS contexts of outgoing connections, one for each set of files, made again when a file changes.

    Where a changed file cannot be used, the context made before it stays, and the log says so once.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str | None, ...], tuple[tuple[_Stamp, ...], ssl.SSLContext]] = {}

    def get(self, network: Network) -> ssl.SSLContext:
        """The context of a network's files.

        Raises:
            TlsFileError: a file cannot be used, and none made before is there.
        """
        paths = (network.ca_file, network.client_cert_file, network.client_key_file)
        stamps = tuple(_stamp(path) for path in paths if path is not None)
        known = self._known.get(paths)
        if known is not None and known[0] == stamps:
            return known[1]
        try:
            context = make_client_context(network)
        except TlsFileError as error:
            if known is None:
                raise
            _log.warning("the TLS files read before stay in use: %s", error)
            context = known[1]
        self._known[paths] = (stamps, context)
        return context


def make_client_context(network: Network) -> ssl.SSLContext:
    """A context that verifies the other side, and shows the client certificate where there is one.

    Raises:
        TlsFileError: a file is missing, is not PEM, or does not fit the others.
    """
    if network.client_key_file is not None and network.client_cert_file is None:
        fix = "Give `client_cert_file:` too, the certificate that belongs to the key."
        raise TlsFileError("client_key_file", f"{network.client_key_file} is a key without a certificate", fix)
    if network.ca_file is not None:
        _check_pem(network.ca_file, "ca_file", "CERTIFICATE-----")
    try:
        context = ssl.create_default_context(cafile=network.ca_file)
    except ssl.SSLError as error:
        raise _unusable("ca_file", network.ca_file or "", error) from None
    context.set_alpn_protocols(_ALPN)
    if network.client_cert_file is not None:
        names = ("client_cert_file", "client_key_file")
        _load_chain(context, network.client_cert_file, network.client_key_file, names)
    return context


def make_server_context(files: ServerTlsFiles) -> ssl.SSLContext:
    """The context of a listening port: TLS 1.2 or newer, HTTP/1.1.

    Raises:
        TlsFileError: a file is missing, is not PEM, or does not fit the others.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(_ALPN)
    _load_chain(context, files.cert_file, files.key_file, ("cert_file", "key_file"))
    if files.client_ca_file is not None:
        _check_pem(files.client_ca_file, "client_ca_file", "CERTIFICATE-----")
        try:
            context.load_verify_locations(files.client_ca_file)
        except ssl.SSLError as error:
            raise _unusable("client_ca_file", files.client_ca_file, error) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class ServerTlsWatcher:
    """Loads a listening port's files into its live context when they change: the next handshake uses them.

    A pair that does not fit (half of it written yet) is left alone until it does. Authorities of clients are added; one
    that is taken out of its file is trusted until the next start.

    Args:
        files: where they are.
        context: the live one, from `make_server_context`.
    """

    def __init__(self, files: ServerTlsFiles, context: ssl.SSLContext) -> None:
        self._files = files
        self._context = context
        self._seen = self._look()

    async def watch(self) -> None:
        """Look every POLL_S seconds until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            self.poll()

    def poll(self) -> bool:
        """Look once; whether changed files were taken."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        files = self._files
        try:
            make_server_context(files)  # the live context must never hold half of a pair
            self._context.load_cert_chain(files.cert_file, files.key_file, _NO_PASSPHRASE)
            if files.client_ca_file is not None:
                self._context.load_verify_locations(files.client_ca_file)
        except (TlsFileError, OSError) as error:
            _log.warning("the data port keeps its certificate: %s", error)
            return False
        _log.info("the data port has taken a new certificate")
        return True

    def _look(self) -> tuple[_Stamp, ...]:
        paths = (self._files.cert_file, self._files.key_file, self._files.client_ca_file)
        return tuple(_stamp(path) for path in paths if path is not None)


def explain_tls_failure(error: ssl.SSLError, place: str) -> str:
    """What a failed handshake means and what to do, in words.

    Args:
        error: what the handshake, or the first read after it, failed with.
        place: the host (and port) as users know it.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_verification(error, place)
    reason = error.reason or ""
    if reason in _WANTS_CERTIFICATE:
        return (
            f"{place} refused the TLS handshake, as a server does that wants a client certificate, or another one "
            "(`network: {client_cert_file: …}`)"
        )
    if reason in _SPEAKS_NO_TLS:
        return f"{place} does not speak TLS: begin its address with http:// if that is meant"
    if reason in _TOO_OLD:
        return f"{place} speaks no TLS as new as version 1.2"
    return f"TLS with {place} failed ({reason.lower().replace('_', ' ') or 'the connection ended'})"


def _explain_verification(error: ssl.SSLCertVerificationError, place: str) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return f"the certificate of {place} has expired: it must be renewed there"
    if code == _NOT_YET:
        return f"the certificate of {place} is not valid yet: compare its dates with this machine's clock"
    if code in _OTHER_NAME:
        return f"the certificate of {place} is for another name: give the address by a name that it holds"
    words = error.verify_message.rstrip(".")
    if code in _UNTRUSTED:
        return (
            f"the certificate of {place} comes from an authority that is not trusted here ({words}): give the "
            "authority's PEM file (`network: {ca_file: …}`)"
        )
    return f"the certificate of {place} is not accepted ({words})"


def _load_chain(context: ssl.SSLContext, cert_file: str, key_file: str | None, names: tuple[str, str]) -> None:
    key_setting = names[0] if key_file is None else names[1]
    _check_pem(cert_file, names[0], "CERTIFICATE-----")
    if "ENCRYPTED" in _check_pem(key_file or cert_file, key_setting, "PRIVATE KEY-----"):
        fix = "Give a key without a passphrase, readable by this user only."
        raise TlsFileError(key_setting, f"the key in {key_file or cert_file} has a passphrase", fix)
    try:
        context.load_cert_chain(cert_file, key_file, _NO_PASSPHRASE)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"the key in {key_file or cert_file} does not belong to the certificate in {cert_file}"
            fix = "Give the two that were made together; the server's own certificate stands first in its file."
            raise TlsFileError(key_setting, problem, fix) from None
        raise _unusable(names[0], cert_file, error) from None


def _check_pem(path: str, setting: str, marker: str) -> str:
    """The file's text, which holds the marker of what is wanted of it."""
    try:
        text = Path(path).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        fix = "Give the path of a PEM file that this user may read."
        raise TlsFileError(setting, f"{path} cannot be read ({error.strerror})", fix) from None
    if marker not in text:
        kind = "certificate" if marker.startswith("CERT") else "private key"
        fix = f"Give a PEM file (`-----BEGIN …{marker}`); `openssl` converts other formats."
        raise TlsFileError(setting, f"{path} holds no {kind} in PEM form", fix)
    return text


def _unusable(setting: str, path: str, error: ssl.SSLError) -> TlsFileError:
    reason = (error.reason or "not valid PEM").lower().replace("_", " ")
    return TlsFileError(setting, f"{path} cannot be used ({reason})", "Give a whole, valid PEM file.")


def _stamp(path: str) -> _Stamp:
    """What changes when a file is written or replaced; None where there is none."""
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_ino, stat.st_size)
