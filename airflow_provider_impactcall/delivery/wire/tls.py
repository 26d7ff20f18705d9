"""The TLS context: which certificates are trusted, and which client certificate is shown."""

from __future__ import annotations

import ssl
from pathlib import Path

from airflow_provider_impactcall.exceptions import InvalidOption


def context(verify: bool | str, cert: str | tuple[str, str] | None) -> ssl.SSLContext:
    """The TLS context for the endpoint, and for a proxy on the route.

    :param verify: True to trust the system's certificates, the path of a file or folder of other certificates, or False
        to trust any certificate
    :param cert: the path of a client certificate, or the paths of the certificate and of its key
    :raises InvalidOption: if a file cannot be loaded
    """
    try:
        return _context(verify, cert)
    except OSError as error:
        problem = f"verify or cert names a file that cannot be loaded ({type(error).__name__})"
        raise InvalidOption(f"the connection's {problem}") from None


def _context(verify: bool | str, cert: str | tuple[str, str] | None) -> ssl.SSLContext:
    if not isinstance(verify, str):
        made = ssl.create_default_context()
    elif Path(verify).is_dir():
        made = ssl.create_default_context(capath=verify)
    else:
        made = ssl.create_default_context(cafile=verify)
    made.set_alpn_protocols(["http/1.1"])
    if verify is False:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if cert:
        certificate, key = (cert, None) if isinstance(cert, str) else cert
        # If no password were given, OpenSSL would ask for an encrypted key's password on the terminal, and wait.
        made.load_cert_chain(certificate, key, password="")
    return made
