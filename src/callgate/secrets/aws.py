"""AWS's credentials, found and refreshed the way every other program of AWS finds them.

This is the one place where a library of somebody else reads the environment for us: the chain of
AWS reads variables, files and the services of a machine, and users expect all of it. See
``docs/decisions/0011-botocore-signs.md``.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from callgate.errors import Misconfigured, Reason, Transient

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

MISSING: Final = (
    "botocore, which finds AWS's credentials and signs with them, is not installed; run: "
    "pip install 'callgate[bedrock]' (or name a Bedrock API key: key = \"env:…\")"
)
FIX: Final = "run: aws sts get-caller-identity, as the user and in the environment of the gate"


class AwsCredentials:
    """The credentials of one profile.

    Args:
        profile: The name of a profile of ``~/.aws/config``; None takes AWS's own order.

    Raises:
        Misconfigured: botocore is not installed.
    """

    def __init__(self, profile: str | None) -> None:
        if find_spec("botocore") is None:
            raise Misconfigured(MISSING)
        self._profile = profile
        self._found: Credentials | None = None

    async def current(self) -> ReadOnlyCredentials:
        """Return credentials that hold now.

        Raises:
            Transient: There are none at the moment; nothing was sent.
        """
        known = self._found
        if known is not None and not _is_old(known):
            return known.get_frozen_credentials()
        # A thread, as they may be asked for over the network.
        return await asyncio.to_thread(self._find)

    def _find(self) -> ReadOnlyCredentials:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 (an extra, and slow to import)
        from botocore.session import Session  # noqa: PLC0415 (the same)

        try:
            if self._found is None:
                self._found = Session(profile=self._profile).get_credentials()
            if self._found is None:
                raise _none(self._profile, "AWS's own chain finds none")
            return self._found.get_frozen_credentials()
        except BotoCoreError as error:
            raise _none(self._profile, str(error)) from error


def _is_old(known: Credentials) -> bool:
    """Whether credentials are to be refreshed; those without an end never are."""
    from botocore.credentials import RefreshableCredentials  # noqa: PLC0415 (as above)

    return isinstance(known, RefreshableCredentials) and known.refresh_needed()


def _none(profile: str | None, why: str) -> Transient:
    where = "AWS" if profile is None else f"the AWS profile {profile}"
    msg = f"there are no credentials of {where}: {why}; {FIX}"
    return Transient(msg, billed=False, reason=Reason(code="no_credentials", fix=FIX))
