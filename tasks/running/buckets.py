"""Buckets, as the environment of this process leads to them."""

from __future__ import annotations

import os

from tasks.lib import urls
from tasks.lib.stores import Store


def open_store(url: str) -> Store:
    """What is at a URL, with the credentials of this process's environment. Raises `InputError`."""
    return Store(urls.checked(url), _s3_endpoint())


def _s3_endpoint() -> str | None:
    """The address of a store that speaks like S3, as the AWS tools take it; None for Amazon's own.

    pyarrow itself looks at these variables only when it is given a URL, and then takes no other settings.
    """
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
