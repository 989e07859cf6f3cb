"""Random draws that depend on nothing but their arguments."""

from __future__ import annotations

import hashlib


def random_fraction(seed: int, step: str, document_id: str) -> float:
    """A number in [0, 1) that depends only on these three values: the only source of randomness in a pipeline."""
    digest = hashlib.blake2b(f"{seed}\0{step}\0{document_id}".encode(errors="surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / float(1 << 53)
