"""Every error the gateway itself can answer with: one class a line, grouped by who is at fault.

A class is the whole table row: HTTP `status`, OpenAI's error `type`, a stable `code`. `wire.error_body`
turns an instance into bytes once, at the edge; nothing else maps errors to HTTP.
"""

from typing import ClassVar


class GatewayError(Exception):
    """An answer of our own. `message` says what is wrong and what to do; `param` names the field at fault."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after  # seconds


# fmt: off
# --- the client
class ClientError(GatewayError): status, type, code = 400, "invalid_request_error", "bad_request"
class MalformedRequest(ClientError): code = "malformed_request"
class InvalidJson(ClientError): code = "invalid_json"
class InvalidValue(ClientError): code = "invalid_value"
class DuplicateKey(ClientError): code = "duplicate_key"
class InvalidVariables(ClientError): code = "invalid_variables"
class SystemMessageRefused(ClientError): code = "system_message_refused"
class UnsupportedEncoding(ClientError): status, code = 415, "unsupported_content_encoding"
class UnsupportedMediaType(ClientError): status, code = 415, "unsupported_media_type"
class Unauthorized(ClientError): status, type, code = 401, "authentication_error", "invalid_api_key"
class Forbidden(ClientError): status, type, code = 403, "permission_error", "forbidden"
class RateLimited(ClientError): status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"
class VersionNotAllowed(Forbidden): code = "version_not_allowed"
class NotFound(ClientError): status, code = 404, "not_found"
class PromptNotFound(NotFound): code = "prompt_not_found"
class VersionNotFound(NotFound): code = "version_not_found"
class MethodNotAllowed(ClientError): status, code = 405, "method_not_allowed"
class Conflict(ClientError): status, code = 409, "conflict"
class PreconditionFailed(Conflict): status, code = 412, "precondition_failed"
class IdempotencyConflict(Conflict): code = "idempotency_conflict"
class IdempotencyMismatch(ClientError): status, code = 422, "idempotency_mismatch"
class BodyTooLarge(ClientError): status, code = 413, "body_too_large"
class UriTooLong(ClientError): status, code = 414, "uri_too_long"
class HeadersTooLarge(ClientError): status, code = 431, "headers_too_large"
class RequestTimeout(ClientError): status, code = 400, "request_timeout"  # not 408: SDKs repeat 408 twice
class ExpectationFailed(ClientError): status, code = 417, "expectation_failed"
class HttpVersionNotSupported(ClientError): status, code = 505, "http_version_not_supported"
class NotImplementedHere(ClientError): status, code = 501, "not_implemented"

# --- the prompt
class PromptError(GatewayError): status, type, code = 400, "invalid_request_error", "prompt_error"
class PromptFileError(PromptError): code = "invalid_prompt_file"
class TemplateError(PromptError): code = "template_error"
class TransitionRefused(PromptError): status, code = 409, "transition_refused"
class GateNotPassed(PromptError): status, code = 409, "gate_not_passed"
class PromptNotDeployed(PromptError): status, code = 404, "prompt_not_deployed"

# --- the upstream
class UpstreamError(GatewayError): status, type, code = 502, "upstream_error", "upstream_error"
class UpstreamUnreachable(UpstreamError): code = "upstream_unreachable"
class UpstreamBroken(UpstreamError): code = "upstream_broken"
class UpstreamClosed(UpstreamBroken): code = "upstream_broken"  # before the first byte of its answer
class NoAnswer(UpstreamError): code = "no_answer"  # to a suite or a judge's question: no data
class UpstreamTimeout(UpstreamError): status, code = 504, "upstream_timeout"
class UpstreamConnectTimeout(UpstreamTimeout): code = "upstream_timeout"
class UpstreamImpatience(UpstreamTimeout): code = "upstream_timeout"  # the client's own limit, below ours

# --- the gateway
class Unavailable(GatewayError): status, code = 503, "unavailable"
class Overloaded(Unavailable): code = "overloaded"
class StoreUnavailable(Unavailable): code = "store_unavailable"
class SnapshotMissing(Unavailable): code = "snapshot_missing"
class StoreRevised(GatewayError): status, code = 409, "revision_conflict"
class FenceLost(GatewayError): status, code = 409, "lease_lost"
class ConfigError(GatewayError): code = "invalid_configuration"
# fmt: on
