"""docs/admin-api.md names every route."""

from pathlib import Path

from gateway.storage.sqlite import SqliteStore
from gateway.web import build_admin

PAGE = (Path(__file__).parents[2] / "docs" / "admin-api.md").read_text()


async def readiness() -> dict[str, object]:
    return {"ready": True}


def test_the_page_names_every_route(tmp_path: Path) -> None:
    routes = build_admin(SqliteStore(tmp_path), readiness).router.routes()
    missing = [
        f"{route.method} {route.resource.canonical}"
        for route in routes
        if route.method != "HEAD"
        and route.resource is not None
        and f"`{route.method} {route.resource.canonical}" not in PAGE
    ]
    assert not missing
