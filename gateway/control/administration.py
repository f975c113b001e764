"""What people do to the gateway itself, beside its prompts: one protocol, its implementation on a store."""

from __future__ import annotations

from typing import Protocol

from gateway.control.access import Access, Issued, TokenView
from gateway.control.plan import By
from gateway.domain.access import Role
from gateway.storage.base import Store


class Administration(Protocol):
    """Errors are `errors.GatewayError`s; see `access` for which."""

    async def tokens(self) -> tuple[TokenView, ...]: ...

    async def create_token(self, name: str, role: Role, prompts: tuple[str, ...], by: By) -> Issued: ...

    async def rotate_token(self, name: str, grace: float, by: By) -> Issued: ...

    async def revoke_token(self, name: str, by: By) -> TokenView: ...


class StoreAdministration:
    def __init__(self, store: Store) -> None:
        self._access = Access(store)

    async def tokens(self) -> tuple[TokenView, ...]:
        return await self._access.tokens()

    async def create_token(self, name: str, role: Role, prompts: tuple[str, ...], by: By) -> Issued:
        return await self._access.create(name, role, prompts, by)

    async def rotate_token(self, name: str, grace: float, by: By) -> Issued:
        return await self._access.rotate(name, grace, by)

    async def revoke_token(self, name: str, by: By) -> TokenView:
        return await self._access.revoke(name, by)
