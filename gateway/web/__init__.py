"""The admin API on its own port: thin handlers over `control.operations`, JSON in and out.

admin      the table of operations and its application (`build_admin`)
route      what an operation is: path, role, types, errors
prompts, rollouts, keys, fleet   operations and their handlers
openapi    the document, made from the table
once       Idempotency-Key
requests   what a request says: typed bodies, actor, If-Match, page
answers    JSON, ETag, problem+json (RFC 9457)
door       who may ask: tokens and roles; who is refused is written down
guard      no page of another site, in a browser on this machine
"""

from gateway.web.admin import build_admin

__all__ = ["build_admin"]
