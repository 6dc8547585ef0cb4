"""A certificate authority to throw away, for servers that speak TLS on this machine and for whoever connects to them.

`DIR/authority/` holds `ca.pem`; `server.pem` and `client.pem` signed by it, each with its `.key`; `other-ca.pem`, which signed
neither; and `password`, the secret of the user `relay` on servers that ask for one.
"""

import shutil
import subprocess
from pathlib import Path

from .say import Failed, tail

USER, PASSWORD = "relay", "to-be-thrown-away"

# Without it the system's own settings would make an authority of every certificate.
SETTINGS = "[req]\ndistinguished_name = name\n[name]\n"

AUTHORITY = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
LEAF = ("basicConstraints=critical,CA:FALSE", "subjectAltName=IP:127.0.0.1,DNS:localhost")


def folder_of(servers: Path) -> Path:
    return servers / "authority"


def make(servers: Path) -> None:
    """Makes what is not there yet; servers that run keep what they started with."""
    folder = folder_of(servers)
    if (folder / "password").exists():
        return
    if not shutil.which("openssl"):
        raise Failed("`openssl` is missing; mend it with: openssl")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "openssl.cnf").write_text(SETTINGS)
    for name in ("ca", "other-ca"):
        certificate(folder, name, AUTHORITY)
    for name in ("server", "client"):
        certificate(folder, name, LEAF, "-CA", "ca.pem", "-CAkey", "ca.key")
    # Kafka reads a key and its certificate from one file.
    (folder / "server-both.pem").write_text((folder / "server.key").read_text() + (folder / "server.pem").read_text())
    # The last one: where it is, all are.
    (folder / "password").write_text(PASSWORD)


def certificate(folder: Path, name: str, extensions: tuple[str, ...], *signed_by: str) -> None:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
    added = [part for extension in extensions for part in ("-addext", extension)]
    subject = ("-subj", f"/CN=relay throw-away {name}", "-days", "3650")
    command = ["openssl", "req", "-x509", "-config", "openssl.cnf", *curve, *files, *subject, *added, *signed_by]
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Failed(f"`{' '.join(command)}` failed:\n{tail(done.stdout)}")
