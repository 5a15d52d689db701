"""Verifies the AWS signature of a request with botocore, which knows nothing of ours.

Standard input: {"method", "url", "headers": {name: value}, "body": base64, "access_key", "secret_key", "token",
"region", "service"}. Exit code 0 if the signature is right; else 1, with what was expected.
"""

import base64
import json
import re
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

AUTHORIZATION = re.compile(
    r"^AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<scope>[^,]+), ?"
    r"SignedHeaders=(?P<signed>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})$"
)


def verify(given):
    """What is wrong, or None."""
    headers = {name.lower(): value for name, value in given["headers"].items()}
    parts = AUTHORIZATION.match(headers.get("authorization", ""))
    if parts is None:
        return f"no signature of version 4: {headers.get('authorization')}"
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/{given['region']}/{given['service']}/aws4_request"
    if parts["key"] != given["access_key"] or parts["scope"] != scope:
        return f"signed as {parts['key']} for {parts['scope']}, expected {given['access_key']} for {scope}"
    signed = parts["signed"].split(";")
    must = ["host", "x-amz-date"] + (["x-amz-security-token"] if given["token"] else [])
    missing = [name for name in must if name not in signed]
    if missing or signed != sorted(signed):
        return f"signed headers {signed}: {missing} are missing, or not sorted"
    if given["token"] and headers.get("x-amz-security-token") != given["token"]:
        return "the session token is another one"

    request = AWSRequest(
        method=given["method"],
        url=given["url"],
        data=base64.b64decode(given["body"]),
        headers={name: headers[name] for name in signed},
    )
    request.context["timestamp"] = date
    auth = SigV4Auth(Credentials(given["access_key"], given["secret_key"], given["token"] or None), given["service"], given["region"])
    canonical = auth.canonical_request(request)
    expected = auth.signature(auth.string_to_sign(request, canonical), request)
    if expected != parts["signature"]:
        return f"signature {parts['signature']}, expected {expected} for\n{canonical}"
    return None


if __name__ == "__main__":
    problem = verify(json.load(sys.stdin))
    if problem:
        print(problem, file=sys.stderr)
        sys.exit(1)
