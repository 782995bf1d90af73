"""URLs of buckets: which are taken, and that none shows a credential."""

from __future__ import annotations

import pytest

from tasks.lib import errors, urls
from tasks.lib.urls import Address

TAKEN = {
    "s3://bucket": Address("s3", "", "bucket"),
    "S3://bucket/in box/a@b:c.csv/": Address("s3", "", "bucket/in box/a@b:c.csv"),
    "gs://bucket.name/a": Address("gs", "", "bucket.name/a"),
    "az://box@account/in": Address("az", "account", "box/in"),
    "abfs://box@account.dfs.core.windows.net/in/": Address("abfs", "account", "box/in"),
}


@pytest.mark.parametrize("url", TAKEN)
def test_a_url_that_leads_elsewhere(url: str) -> None:
    assert urls.is_url(url)
    assert Address.of(urls.checked(url)) == TAKEN[url]


@pytest.mark.parametrize("path", ["inbox", "/data/in:box", "a@b/c.csv", "C:/x", "what?.csv"])
def test_a_path_that_is_taken_for_a_url(path: str) -> None:
    assert not urls.is_url(path)


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:secret@bucket/in",
        "s3://secret@bucket",
        "s3://bucket/in?access_key=key&secret_key=secret",
        "gs://anonymous:secret@bucket/in",
        "abfs://account:secret@box@account/in",
        "az://box:secret@account.dfs.core.windows.net/in",
        "az://box@account.dfs.core.windows.net/in?sig=secret",
    ],
)
def test_a_credential_that_is_taken_or_shown(url: str) -> None:
    with pytest.raises(errors.InputError, match="Leave out what is before @ and after ?") as caught:
        urls.checked(url)
    assert "secret" not in str(caught.value)
    assert "secret" not in urls.masked(f'{{"paths": ["{url}", "{url}"]}}')


@pytest.mark.parametrize("url", TAKEN)
def test_a_url_without_credentials_that_is_masked(url: str) -> None:
    assert urls.masked(f"score {url} now") == f"score {url} now"


@pytest.mark.parametrize("url", ["http://host/x.csv", "file:///x", "s3://", "s3:///x", "az://box/in", "s3://b*t"])
def test_a_url_that_no_store_has(url: str) -> None:
    with pytest.raises(errors.InputError, match="expected"):
        urls.checked(url)
