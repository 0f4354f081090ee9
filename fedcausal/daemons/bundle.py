"""The thin Flower bundle: it names the installed apps, ships no code, and has one known hash."""

import io
import zipfile

from fedcausal_privacy.canonical import sha256_hex

__all__ = ["FILES", "thin_bundle", "thin_bundle_hash"]

# The files of deploy/flwr-app as Flower's own build writes them (a test compares the bytes).
FILES = {
    "pyproject.toml": """\
[project]
name = "fedcausal-bundle"
version = "0.2.0"
description = "A thin bundle: names the installed fedcausal apps and ships no code"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "fedcausal"
fab-include = [
    "BUNDLE.md",
]

[tool.flwr.app.components]
serverapp = "fedcausal_server.app:app"
clientapp = "fedcausal_clients.app:app"

[tool.flwr.app.config]
workspace = "workspace"
out = "out"
seed = 0
steps = "discovery,model,effects"
""",
    "BUNDLE.md": "Names the apps of the installed fedcausal wheel. There is no code in here.\n",
}
_DATE = (2024, 10, 1, 0, 0, 0)
_MANIFEST = ".info/CONTENT"


def thin_bundle() -> bytes:
    """The bundle as a coordinator submits it: the same bytes wherever it is made.

    Stored without compression and with one fixed date, so that its hash can be pinned.
    """
    manifest = "\n".join(
        f"{name},{sha256_hex(text.encode())},{len(text.encode()) * 8}"
        for name, text in FILES.items()
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in {**FILES, _MANIFEST: manifest}.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=_DATE), text)
    return buffer.getvalue()


def thin_bundle_hash() -> str:
    """SHA-256 of the bundle: the only one that a site's daemon takes a task for."""
    return sha256_hex(thin_bundle())
