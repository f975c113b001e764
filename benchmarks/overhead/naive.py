"""The naive baseline: thirty lines of aiohttp. `python -m benchmarks.overhead.naive PORT URL`."""

import sys

from aiohttp import ClientSession, TCPConnector, web

HOP = {"connection", "host", "transfer-encoding", "content-length", "keep-alive", "upgrade"}


async def forward(request: web.Request) -> web.StreamResponse:
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
    url = request.app[URL] + request.path_qs
    body = await request.read()
    async with request.app[SESSION].request(request.method, url, data=body, headers=headers) as answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            return web.Response(status=answer.status, headers=kept, body=await answer.read())
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        async for data in answer.content.iter_any():
            await response.write(data)
        return response


async def make(url: str) -> web.Application:
    app = web.Application(client_max_size=2**30)
    app[URL] = url
    app[SESSION] = ClientSession(connector=TCPConnector(limit=0, ssl=False), auto_decompress=False)
    app.router.add_route("*", "/{tail:.*}", forward)
    return app


URL, SESSION = web.AppKey("url", str), web.AppKey("session", ClientSession)
if __name__ == "__main__":
    web.run_app(make(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
