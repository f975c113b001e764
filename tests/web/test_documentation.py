"""docs/admin-api.md names every route with its role, and every code with its status."""

from pathlib import Path

import pytest

from gateway.web.admin import ROUTES
from gateway.web.openapi import errors_of
from gateway.web.route import Route

PAGE = (Path(__file__).parents[2] / "docs" / "admin-api.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_page_names_every_route_and_its_role(route: Route) -> None:
    start = f"| `{route.method} {route.path}"
    rows = [row for row in ROWS if row.startswith(start) and row[len(start)] in "`?"]
    assert [row.split(" | ")[1] for row in rows] == [route.role or "anybody"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_page_names_every_error(route: Route) -> None:
    for status, kinds in errors_of(route).items():
        (row,) = (row for row in ROWS if row.startswith(f"| {status} |"))
        missing = [kind.code for kind in kinds if f"`{kind.code}`" not in row]
        assert not missing, status
