"""URLs of buckets and of what is in them. They hold no credentials, and those that do are neither taken nor shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tasks.lib import errors

NO_SECRETS = (
    "expected a bucket and a key alone. Leave out what is before @ and after ?, and have credentials in the "
    "environment: see docs/buckets.md."
)
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_BUCKET = re.compile(r"[\w.-]+")
_CONTAINER = re.compile(r"(?P<container>[\w-]+)@(?P<account>[\w-]+)(\.(blob|dfs)\.core\.windows\.net)?")
_SECRET = re.compile(r"(?<=://)[^/\s\"'?]*:[^/\s\"'?]*@|(?<=s3://|gs://)[^/\s\"'?]*@")
_QUERY = re.compile(r"(://[^\s\"'?]*)\?[^\s\"']*")


def is_url(place: str | Path) -> bool:
    """Whether a place is an object or a folder in a bucket, not a path."""
    return _URL.match(str(place)) is not None


def masked(text: str) -> str:
    """The text without what may be credentials in the URLs in it."""
    return _QUERY.sub(r"\1?...", _SECRET.sub("...@", text))


def checked(url: str) -> str:
    """The URL, if it names a bucket or what is in one. Raises `InputError` that does not repeat credentials."""
    Address.of(url)
    if "?" in url:
        raise errors.InputError(f"a URL with parameters: {NO_SECRETS}")
    return url


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart: the store, the account (of Azure alone), and the bucket with the key behind it."""

    scheme: str
    account: str
    path: str

    @classmethod
    def of(cls, url: str) -> Address:
        match = _URL.match(url)
        scheme, rest = (match["scheme"].lower(), match["rest"]) if match else ("", url)
        if scheme not in ("s3", "gs", "az", "abfs"):
            raise errors.InputError(
                f"{scheme or 'this'}: expected a path, or a URL that begins with s3://, gs://, az:// or abfs://."
            )
        bucket, _, key = rest.partition("/")
        account = _CONTAINER.fullmatch(bucket) if scheme in ("az", "abfs") else None
        if ":" in bucket or ("@" in bucket and not account):
            raise errors.InputError(f"a URL of {scheme}:// with credentials: {NO_SECRETS}")
        if scheme in ("az", "abfs"):
            if account is None:
                raise errors.InputError(
                    f"{scheme}://{bucket}: expected a container and its account. Name both: "
                    f"{scheme}://CONTAINER@ACCOUNT.dfs.core.windows.net/folder"
                )
            return cls(scheme, account["account"], f"{account['container']}/{key}".rstrip("/"))
        if not _BUCKET.fullmatch(bucket):
            raise errors.InputError(f"{scheme}://{bucket}: expected the name of a bucket behind {scheme}://.")
        return cls(scheme, "", f"{bucket}/{key}".rstrip("/"))
