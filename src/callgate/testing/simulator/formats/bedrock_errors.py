"""How Amazon Bedrock words its errors: the code in a header, the words in the body."""

from __future__ import annotations

from typing import Final

from callgate.testing.simulator.formats.format import Errors, ErrorSpec, Wording, wording

NAMESPACE: Final = ":http://internal.amazon.com/coral/com.amazon.bedrock/"
"""What follows the code in the header."""

ERRORS: Final[Errors] = {
    (400, None): Wording("ValidationException", None, "The request is not valid."),
    (400, "rate"): Wording(
        "ServiceQuotaExceededException",
        None,
        "Your request exceeds the service quota for your account.",
    ),
    (400, "context"): Wording(
        "ValidationException", None, "Input is too long for requested model."
    ),
    (403, None): Wording(
        "AccessDeniedException",
        None,
        "You don't have access to the model with the specified model ID.",
    ),
    (403, "credential"): Wording(
        "UnrecognizedClientException",
        None,
        "The security token included in the request is invalid.",
    ),
    (403, "signature"): Wording(
        "InvalidSignatureException",
        None,
        "The request signature we calculated does not match the signature you provided. Check your "
        "AWS Secret Access Key and signing method. Consult the service documentation for details.",
    ),
    (404, None): Wording(
        "ResourceNotFoundException", None, "Could not resolve the foundation model {model}."
    ),
    (408, None): Wording("ModelTimeoutException", None, "Model processing timed out."),
    (424, None): Wording(
        "ModelErrorException", None, "The model returned an error while it processed the request."
    ),
    (429, None): Wording(
        "ThrottlingException", None, "Too many requests, please wait before trying again."
    ),
    (429, "tokens"): Wording(
        "ThrottlingException", None, "Too many tokens, please wait before trying again."
    ),
    (429, "day"): Wording(
        "ThrottlingException", None, "Too many tokens per day, please wait before trying again."
    ),
    (429, "slow_down"): Wording(
        "ModelNotReadyException", None, "Model is not ready for inference. Wait and try again."
    ),
    (500, None): Wording(
        "InternalServerException",
        None,
        "The system encountered an unexpected error during processing. Try your request again.",
    ),
    (503, None): Wording(
        "ServiceUnavailableException", None, "Bedrock is unable to process your request."
    ),
}
"""Code and message by status and kind.

Source: botocore 1.44, ``bedrock-runtime/2023-09-30/service-2.json``, for codes and statuses; the
words are those of issues in public repositories.
"""

IN_STREAM: Final = {
    "ModelErrorException": "modelStreamErrorException",
    "ThrottlingException": "throttlingException",
    "ValidationException": "validationException",
    "ServiceUnavailableException": "serviceUnavailableException",
}
"""Exceptions that a stream can tell; any other is one of the server.

Source: as above, ``ConverseStreamOutput``.
"""


def code_of(spec: ErrorSpec) -> str:
    """Return the code of an error."""
    return wording(ERRORS, spec).type


def message_of(spec: ErrorSpec) -> str:
    """Return the words of an error."""
    return spec.message or wording(ERRORS, spec).message.replace("{model}", spec.model)


def exception_of(spec: ErrorSpec) -> str:
    """Return what a stream calls an error."""
    return IN_STREAM.get(code_of(spec), "internalServerException")
