"""An fsspec address (s3://, gs://, ...): whether a text is one, and how it opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname


def is_remote(address: str) -> bool:
    """Whether `address` names something that is no local folder."""
    return "://" in address and not address.startswith("file://")


def local_path(address: str) -> Path:
    """The folder that `address` names, which is a path or a `file://` address."""
    if not address.startswith("file://"):
        return Path(address)
    return Path(url2pathname(urlsplit(address).path))


def open_address(address: str) -> tuple[Any, str]:
    """The file system of `address` and the path in it, without a final slash.

    Listings are not cached: other nodes write there too.
    """
    import fsspec

    system, path = fsspec.core.url_to_fs(address, use_listings_cache=False)
    return system, path.rstrip("/")
