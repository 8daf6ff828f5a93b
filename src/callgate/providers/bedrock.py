"""Amazon Bedrock: a Bedrock API key as it is, or AWS's credentials as a signature."""

from __future__ import annotations

from callgate.call import Headers
from callgate.config.policies import ProviderPolicy
from callgate.errors import Misconfigured
from callgate.providers import Outgoing
from callgate.secrets.aws import AwsCredentials

SERVICE = "bedrock"
"""What is signed for. Source: botocore 1.44, ``bedrock-runtime``: ``signingName``."""


class Bedrock:
    """Authenticates the way Bedrock wants it.

    Args:
        policy: The provider; without a key it signs.

    Raises:
        Misconfigured: It has to sign, and cannot.
    """

    def __init__(self, policy: ProviderPolicy) -> None:
        self._region = policy.aws_region
        self._credentials = AwsCredentials(policy.aws_profile) if policy.key is None else None

    async def authenticate(self, outgoing: Outgoing, url: str, /) -> Headers:
        """Add the bearer token, or sign the request."""
        if outgoing.credential is not None:
            return (*outgoing.headers, ("authorization", f"Bearer {outgoing.credential.reveal()}"))
        if self._credentials is None or self._region is None:
            msg = "a request to Bedrock has neither a key nor a region to be signed for"
            raise Misconfigured(msg)
        from botocore.auth import SigV4Auth  # noqa: PLC0415 (an extra, and slow to import)
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415 (the same)

        request = AWSRequest(
            method="POST", url=url, data=outgoing.body, headers=dict(outgoing.headers)
        )
        held = await self._credentials.current()
        SigV4Auth(held, SERVICE, self._region).add_auth(request)
        return tuple((name.lower(), value) for name, value in request.headers.items())
