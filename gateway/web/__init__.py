"""The admin API on its own port: thin handlers over `control.operations`, JSON in and out.

admin      composition: routes and their handlers (`build_admin`)
keys       the routes of client keys
requests   what a request says: typed bodies, actor, If-Match, page
answers    JSON, ETag, problem+json (RFC 9457)
guard      who may ask: loopback names only, no other site's browser pages
"""

from gateway.web.admin import build_admin

__all__ = ["build_admin"]
