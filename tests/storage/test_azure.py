import base64

import pytest

from batchrun.errors import InputError
from batchrun.storage.azure import account_of

KEY = base64.b64encode(b"k" * 64).decode()
OTHER = base64.b64encode(b"o" * 64).decode()

BLOB, DFS = ".blob.core.windows.net", ".dfs.core.windows.net"


def connected(text: str) -> dict[str, str]:
    return {"AZURE_STORAGE_CONNECTION_STRING": text}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AZURE_STORAGE_ACCOUNT": "acc"}, ("acc", "https", BLOB, None, None)),
        ({"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_KEY": KEY}, ("acc", "https", BLOB, KEY, None)),
        ({"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_SAS_TOKEN": "sig=s"}, ("acc", "https", BLOB, None, "?sig=s")),
        ({"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_SAS_TOKEN": "?sig=s"}, ("acc", "https", BLOB, None, "?sig=s")),
        (
            {"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_SAS_TOKEN": "sig=s"},
            ("acc", "https", BLOB, KEY, None),
        ),
        (
            {"AZURE_STORAGE_ACCOUNT": "x", **connected(f"AccountName=acc;AccountKey={KEY}")},
            ("acc", "https", BLOB, KEY, None),
        ),
        (
            connected(f"DefaultEndpointsProtocol=http;AccountName=acc;AccountKey={KEY};EndpointSuffix=core.other.net;"),
            ("acc", "http", ".blob.core.other.net", KEY, None),
        ),
        (
            connected("BlobEndpoint=https://acc.z1.blob.storage.azure.net/;SharedAccessSignature=sv=1&sig=a%3D"),
            ("acc", "https", ".z1.blob.storage.azure.net", None, "?sv=1&sig=a%3D"),
        ),
        (
            connected(f"AccountName=acc;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:10000/acc;"),
            ("acc", "http", "127.0.0.1:10000", KEY, None),
        ),
    ],
)
def test_the_account_is_chosen_as_azures_tools_choose_it(
    environment: dict[str, str], expected: tuple[str | None, ...]
) -> None:
    """A connection string has precedence over the other variables, and a key over a token."""
    account, container = account_of("box", environment)
    assert tuple(account) == expected
    assert container == "box"
    assert account.dfs_authority == account.authority.replace("blob", "dfs")


@pytest.mark.parametrize(
    ("host", "container"), [(f"box@acc{DFS}", "box"), (f"box@acc{BLOB}", "box"), (f"acc{BLOB}", ""), (f"acc{DFS}", "")]
)
def test_a_url_may_name_the_account_and_the_credentials_come_from_the_environment(host: str, container: str) -> None:
    """They must be for this account or for no named account; other accounts never receive them."""
    account, found = account_of(host, {"AZURE_STORAGE_KEY": KEY})
    assert (*account, found) == ("acc", "https", BLOB, KEY, None, container)
    for environment, key in (
        ({}, None),
        ({"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_KEY": KEY}, KEY),
        ({"AZURE_STORAGE_ACCOUNT": "other", "AZURE_STORAGE_KEY": KEY}, None),
        (connected(f"AccountName=acc;AccountKey={KEY}"), KEY),
        (connected(f"AccountName=other;AccountKey={KEY}"), None),
    ):
        assert account_of(host, environment)[0].key == key


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING, or write az://box@ACCOUNT"),
        (connected("nonsense"), "must have AccountName=…;AccountKey=…, or BlobEndpoint=https://…"),
        (connected("BlobEndpoint=acc.blob.core.windows.net"), "must have AccountName"),
        (connected(f"AccountName=acc;AccountKey={KEY};BlobEndpoint=https://files.example.com"), "https://HOST/acc"),
        (connected(f"AccountName=acc;AccountKey={KEY[:-2]}"), "CONNECTION_STRING: the account's key is not Base64"),
        ({"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_KEY": KEY[1:]}, "AZURE_STORAGE_KEY: the account's key is no"),
    ],
)
def test_invalid_settings_of_an_account_are_refused_with_a_cure(environment: dict[str, str], message: str) -> None:
    """A key that is not Base64 would abort the process in Azure's client. No message repeats the key."""
    with pytest.raises(InputError) as refused:
        account_of("box", environment)
    assert message in str(refused.value)
    assert KEY[1:20] not in str(refused.value)


def test_an_account_does_not_show_its_credentials() -> None:
    """They are not in a traceback either."""
    account, _ = account_of("box", connected(f"AccountName=acc;AccountKey={OTHER}"))
    assert repr(account) == "Account('acc', 'https', '.blob.core.windows.net')"
