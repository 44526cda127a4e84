"""Names that carry credentials; a name becomes a key of the table, and stands in logs."""

from __future__ import annotations

import re
from urllib.parse import unquote

_USER = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]*:[^/?#@\s]*@", re.IGNORECASE)
_SIGNED = re.compile(
    r"[?&;](?:X-Amz-(?:Signature|Credential|Security-Token)|X-Goog-(?:Signature|Credential)|sig"
    r"|signature|AWSAccessKeyId|GoogleAccessId|access_token|api_?key|password|token"
    r"|header\.[a-z-]+|userpwd)=",
    re.IGNORECASE,
)
CURE = (
    "give the credentials by a role, or by the environment of the nodes (AWS_PROFILE, GDAL's "
    "GDAL_HTTP_USERPWD), and the name without"
)


def secret_in(name: str) -> str | None:
    """Returns what of a name is a secret, in words that don't tell it; None: nothing is."""
    for text in (name, unquote(name)):
        if _USER.search(text):
            return "a user and a password"
        if found := _SIGNED.search(text):
            return f"what grants access ({found[0].strip('?&;=')})"
    return None


def without_secret(name: str) -> str:
    """Returns the beginning of a name, up to where a secret may begin."""
    return re.split(r"[?&;@%]|(?<=://)", name, maxsplit=1)[0][:99]
