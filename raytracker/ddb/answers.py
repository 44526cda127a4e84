"""What DynamoDB answers, in Python's types and in raytracker's exceptions."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ..errors import CredentialsRefused, RaytrackerError, TableError, TableUnavailable

# What AWS says of credentials that it does not accept; they stay so until somebody renews them.
_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "SubscriptionRequiredException",
    "UnrecognizedClientException",
}
_RIGHTS = {"AccessDenied", "AccessDeniedException"}
# Other refusals that stay until somebody changes the table or the item.
_PERMANENT = {
    "ItemCollectionSizeLimitExceededException",
    "ResourceNotFoundException",
    "SerializationException",
    "TableNotFoundException",
    "UnknownOperationException",
    "ValidationError",
    "ValidationException",
}
_NO_TABLE = {"ResourceNotFoundException", "TableNotFoundException"}
_WITHOUT_AWS = "without AWS, `raytracker dev` and EmbeddedDynamoDB do"
_LOCAL = "http://127.0.0.1:8000"
_SET_THEM = "renew them, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
# DynamoDB says ValidationException for all of these; only its text tells them apart. The wordings
# are AWS's, DynamoDB Local's and moto's.
_TOO_LARGE = ("maximum allowed size",)
_OTHER_KEY = (
    "does not match the schema",
    "number of conditions on the keys is invalid",
    "required keys was not given a value",
    "missing the key",
    "type mismatch for key",
    "type mismatch for hash key",
)


class ConditionFailed(RaytrackerError):
    """The condition of a write does not hold; nothing was written.

    Attributes:
        old: The item as it is in the table, in Python's types; None if there is none.
    """

    def __init__(self, message: str, old: dict[str, Any] | None = None) -> None:
        super().__init__(message, old)
        self.old = old

    def __str__(self) -> str:
        return str(self.args[0])


def to_python(data: Any) -> Any:
    """Turn boto3's types into Python's, also nested.

    A whole Decimal becomes an int, any other a float; a Binary becomes bytes.
    """
    if isinstance(data, Decimal):
        # Not `data % 1`, which fails beyond 28 digits.
        whole = data.is_finite() and data == data.to_integral_value()
        return int(data) if whole else float(data)
    if isinstance(data, dict):
        return {key: to_python(value) for key, value in data.items()}
    if isinstance(data, (list, tuple, set)):
        return type(data)(to_python(value) for value in data)
    if data is None or isinstance(data, (str, int, float, bytes)):
        return data

    from boto3.dynamodb.types import Binary

    return bytes(data) if isinstance(data, Binary) else data


def restore_binary(data: Any) -> None:
    """Make bytes of the binary attributes in an answer of DynamoDB, in place, if they are text.

    botocore's parser decodes their base64; OSML replaces that parser in each process that imports
    it, and boto3 then fails on an item that has such an attribute.

    Args:
        data: The answer, with attributes in DynamoDB's JSON: `{"B": "AAE="}`.
    """
    if isinstance(data, list):
        for value in data:
            restore_binary(value)
    if not isinstance(data, dict):
        return
    for name, value in data.items():
        # The attribute's type, not an attribute of this name: that would be an object.
        if name == "B" and isinstance(value, str):
            data[name] = b64decode(value)
        elif name == "BS" and isinstance(value, list):
            data[name] = [b64decode(v) if isinstance(v, str) else v for v in value]
        else:
            restore_binary(value)


def translate(err: BaseException, table_name: str) -> RaytrackerError:
    """Say in raytracker's terms what an error of boto3 means.

    Args:
        err: What boto3 raised; an error of raytracker's comes back as it is.
        table_name: The table that was spoken to.

    Returns:
        ConditionFailed; or TableError if the same request will be refused again, as
        CredentialsRefused where other credentials are the cure; else TableUnavailable. Each has one
        line of text that names the table and, if known, the cure.
    """
    from botocore import exceptions as boto

    if isinstance(err, RaytrackerError):
        return err
    if isinstance(err, boto.ClientError):
        return _translate_answer(err, table_name)

    cure = None
    if isinstance(err, (boto.NoCredentialsError, boto.PartialCredentialsError)):
        what = f"AWS credentials are missing or incomplete; {_SET_THEM}; {_WITHOUT_AWS}"
        return CredentialsRefused(f"table {table_name}: {what}")
    if isinstance(err, _without_credentials()):
        what = f"no AWS credentials: {type(err).__name__}: {_line(err)}; {_SET_THEM}"
        return CredentialsRefused(f"table {table_name}: {what}")
    if isinstance(err, boto.NoRegionError):
        cure = f"no AWS region; set AWS_DEFAULT_REGION or pass region_name; {_WITHOUT_AWS}"
    elif isinstance(err, boto.InvalidRegionError):
        cure = f"{_line(err)} AWS_DEFAULT_REGION and region_name are such as us-east-1"
    elif isinstance(err, ValueError) and "Invalid endpoint" in str(err):
        cure = f"{_line(err)}; AWS_ENDPOINT_URL_DYNAMODB and endpoint_url are such as {_LOCAL}"
    elif isinstance(err, boto.EndpointConnectionError):
        what = f"DynamoDB does not answer: {_line(err)}; {_cure_of(err.kwargs)}"
        return TableUnavailable(f"table {table_name}: {what}")
    elif isinstance(err, boto.HTTPClientError):
        return TableUnavailable(f"table {table_name}: DynamoDB does not answer: {_line(err)}")
    elif isinstance(
        err,
        (
            boto.ParamValidationError,
            boto.ConfigNotFound,
            boto.ConfigParseError,
            boto.EndpointProviderError,
            boto.InvalidConfigError,
            # boto3's serializer, on a value that DynamoDB has no type for; and a malformed endpoint
            ArithmeticError,
            TypeError,
            ValueError,
        ),
    ):
        cure = f"{type(err).__name__}: {_line(err)}"
    if cure:
        return TableError(f"table {table_name}: {cure}")
    return TableUnavailable(f"table {table_name}: {type(err).__name__}: {_line(err)}")


def other_credentials_may_help(err: BaseException) -> bool:
    """Whether the same request, with credentials looked for anew, may succeed.

    So it is also where rights are missing: the role of the machine may be another by now.

    Args:
        err: What boto3 raised.
    """
    from botocore import exceptions as boto

    if isinstance(err, boto.ClientError):  # of DynamoDB, or of who hands out the credentials
        return err.response.get("Error", {}).get("Code") in _CREDENTIALS | _RIGHTS
    missing = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)
    return isinstance(err, (*missing, *_without_credentials()))


def _without_credentials() -> tuple[type[BaseException], ...]:
    """What botocore raises where the credentials that it is told of cannot be had."""
    from botocore import exceptions as boto

    return (
        boto.ProfileNotFound,
        boto.SSOError,
        boto.TokenRetrievalError,
        boto.UnknownCredentialError,
        getattr(boto, "LoginError", boto.SSOError),  # not in older ones
    )


def _cure_of(unreached: Mapping[str, Any]) -> str:
    """Returns what to look at where an endpoint cannot be reached at all."""
    if ".amazonaws." in str(unreached.get("endpoint_url")):
        return "see whether AWS_DEFAULT_REGION is right, and the network reaches it"
    return "start it, or set AWS_ENDPOINT_URL_DYNAMODB to where it is"


def _translate_answer(err: Any, table_name: str) -> RaytrackerError:
    error = err.response.get("Error", {})
    code, text = str(error.get("Code", "unknown error")), _line(error.get("Message", ""))
    if code == "ConditionalCheckFailedException":
        message = f"table {table_name}: the condition of {err.operation_name} does not hold"
        return ConditionFailed(message, _old_item(err.response))
    if code in _CREDENTIALS:
        what = f"AWS does not accept these credentials; {_SET_THEM} ({code}: {text})"
        return CredentialsRefused(f"table {table_name}: {what}")
    if code not in _RIGHTS | _PERMANENT:
        return TableUnavailable(f"table {table_name}: {code}: {text}")

    lower = text.lower()
    if code in _NO_TABLE:
        what = f"no such table in this account and region; `raytracker table create {table_name}`"
    elif any(part in lower for part in _TOO_LARGE):
        what = "the item is larger than the 400 KB that DynamoDB stores; use larger tiles"
    elif any(part in lower for part in _OTHER_KEY):
        what = (
            "it has another key than a job table's, which is image_id (a string) alone; "
            f"use another table, or make one: `raytracker table create NAME` ({text})"
        )
    elif code in _RIGHTS:
        what = f"these credentials may not do {err.operation_name}; grant it ({text})"
    else:
        what = f"{err.operation_name} was refused: {code}: {text}"
    return TableError(f"table {table_name}: {what}")


def _old_item(response: Any) -> dict[str, Any] | None:
    """The item in a refused write's answer, which botocore leaves in DynamoDB's JSON."""
    from boto3.dynamodb.types import TypeDeserializer

    item = response.get("Item")
    if not item:
        return None
    deserialize = TypeDeserializer().deserialize
    return {name: to_python(deserialize(value)) for name, value in item.items()}


def _line(message: object) -> str:
    return " ".join(str(message).split())
