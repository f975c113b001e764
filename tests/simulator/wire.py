"""A strict client of h11 over one real connection, and a raw one that shows what arrived in which read."""

import asyncio
import json
import ssl
from dataclasses import dataclass, field
from typing import Any

import h11

CHAT = "/v1/chat/completions"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    informational: list[int] = field(default_factory=list)
    reusable: bool = False

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[Any]:
        """The data of all SSE events; [DONE] as the string."""
        found = [part[6:] for part in self.body.decode().split("\n\n") if part.startswith("data: ")]
        return [part if part == "[DONE]" else json.loads(part) for part in found]


class Client:
    """One connection. `ask` raises what h11 or the socket raises."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.state = h11.Connection(h11.CLIENT, max_incomplete_event_size=65536)

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext | None = None) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=2**20))

    async def ask(self, target: str, body: Any = None, method: str = "", **headers: str) -> Answer:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields: list[tuple[str, str | bytes]] = [("Host", "sim"), ("Content-Length", str(len(raw)))]
        fields += [(name.replace("_", "-"), value.encode("latin-1")) for name, value in headers.items()]
        method = method or ("POST" if raw else "GET")
        self.writer.write(self.state.send(h11.Request(method=method, target=target, headers=fields)) or b"")
        if raw:
            self.writer.write(self.state.send(h11.Data(data=raw)) or b"")
        self.writer.write(self.state.send(h11.EndOfMessage()) or b"")
        return await self._answer()

    async def _answer(self) -> Answer:
        informational, answer = [], Answer(0, {}, b"")
        while True:
            event = self.state.next_event()
            if event is h11.NEED_DATA:
                self.state.receive_data(await self.reader.read(65536))
            elif isinstance(event, h11.InformationalResponse):
                informational.append(event.status_code)
            elif isinstance(event, h11.Response):
                headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
                answer = Answer(event.status_code, headers, b"", informational)
            elif isinstance(event, h11.Data):
                answer.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                answer.reusable = self.state.our_state is h11.DONE and self.state.their_state is h11.DONE
                if answer.reusable:
                    self.state.start_next_cycle()
                return answer
            else:
                raise AssertionError(event)

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass


async def ask(port: int, target: str, body: Any = None, method: str = "", **headers: str) -> Answer:
    """Ask once, on a connection of its own."""
    client = await Client.connect(port)
    try:
        return await client.ask(target, body, method, **headers)
    finally:
        await client.close()


def chat(user: str = "Where is my order?", system: str = "You help.", **fields: Any) -> dict[str, Any]:
    """A chat request's body."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return {"model": "sim-small", "messages": messages, **fields}


def request_bytes(body: Any, *headers: str, target: str = CHAT) -> bytes:
    """A whole POST as bytes."""
    raw = json.dumps(body).encode()
    lines = [f"POST {target} HTTP/1.1", "Host: sim", f"Content-Length: {len(raw)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


async def reads(port: int, raw: bytes) -> tuple[list[bytes], str]:
    """Send bytes, read until the connection ends; returns each read, and `closed` or `reset`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(raw)
    found = []
    try:
        while piece := await reader.read(2**20):
            found.append(piece)
        return found, "closed"
    except ConnectionResetError:
        return found, "reset"
    finally:
        writer.close()


async def until(condition: Any, limit: float = 5.0) -> None:
    """Wait until `condition()` holds, looking again at each turn of the loop."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110  (the counts are plain integers; nothing signals them)
            await asyncio.sleep(0.001)
