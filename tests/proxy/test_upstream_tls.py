"""The upstream over TLS: whom it trusts, and that it ends as cleanly as without."""

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.errors import ConfigError, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from gateway.proxy.upstream import Pool, tls_context
from gateway.settings import Limits, Timeouts
from tests.support.scripted_provider import (
    HEAD,
    OK,
    Answer,
    Peer,
    Stage,
    answers,
    done,
    on_uvloop,
    settle,
    until,
)
from tests.support.tls import TestCertificates, make_certificates

BIG = bytes(range(256)) * 4096 * 8  # 8 MiB


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> TestCertificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def trusting(certificates: TestCertificates) -> ssl.SSLContext:
    return tls_context(str(certificates.authority))


def test_requests_and_answers_of_any_size(certificates: TestCertificates) -> None:
    async def script(peer: Peer) -> None:
        assert (await peer.request()).body == BIG
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BIG))
        peer.send(BIG)
        await answers(peer)

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(
            script, server_tls=certificates.server_context(), tls=trusting(certificates)
        ) as stage:
            assert (await stage.ask((BIG,))).body == BIG
            for _ in range(3):
                assert (await stage.ask()).body == b"ok"
            assert len(stage.peers) == 1
            assert stage.pool.counts.reused == 3

    dialogue()


def test_a_strange_authority_is_refused_with_what_to_do(
    certificates: TestCertificates, tmp_path: Path
) -> None:
    stranger = make_certificates(tmp_path, name="stranger")

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(answers, server_tls=certificates.server_context(), tls=trusting(stranger)) as stage:
            answer = await stage.ask()
            assert isinstance(answer.error, UpstreamUnreachable)
            assert "was refused: unable to get local issuer certificate" in str(answer.error)
            assert "set upstream.ca_file" in str(answer.error)
            assert stage.pool.counts.retried == 0

    dialogue()


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    other = make_certificates(tmp_path, address="elsewhere.example")

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(answers, server_tls=other.server_context(), tls=trusting(other)) as stage:
            answer = await stage.ask()
            assert isinstance(answer.error, UpstreamUnreachable)
            assert "127.0.0.1" in str(answer.error)

    dialogue()


def test_checking_can_be_switched_off(certificates: TestCertificates) -> None:
    @on_uvloop
    async def dialogue() -> None:
        async with Stage(
            answers, server_tls=certificates.server_context(), tls=tls_context(verify=False)
        ) as stage:
            assert (await stage.ask()).body == b"ok"

    dialogue()


@on_uvloop
async def test_a_port_without_tls_is_told_apart() -> None:
    async def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async with Stage(script) as stage:
        pool = Pool(
            f"https://127.0.0.1:{stage.port}", Limits(), Timeouts(), clock=lambda: 0.0, random=lambda: 0.0
        )
        answer = Answer()
        answer.call = pool.request(HEAD, (), answer, length=0, method=b"GET")
        await done(answer)
        assert isinstance(answer.error, UpstreamUnreachable)
        assert "does not speak TLS" in str(answer.error)
        await pool.close()


def test_a_ca_file_that_is_none_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"upstream\.ca_file"):
        tls_context(str(tmp_path / "missing.pem"))
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"upstream\.ca_file"):
        tls_context(str(tmp_path / "bad.pem"))


@pytest.mark.parametrize("polite", [True, False])
def test_an_unframed_body_needs_a_farewell(certificates: TestCertificates, polite: bool) -> None:
    """Without close_notify the end may be a cut by anyone on the way."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await peer.writer.drain()
        await relayed.wait()
        if polite:
            peer.close()
            await peer.gone()
        else:
            peer.writer.transport.abort()

    relayed = asyncio.Event()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(
            script, server_tls=certificates.server_context(), tls=trusting(certificates)
        ) as stage:
            answer = stage.start()
            await answer.heard.wait()
            relayed.set()
            await done(answer)
            assert answer.body == b"hello"
            assert answer.ended is polite
            assert polite or isinstance(answer.error, UpstreamBroken)

    dialogue()


def test_a_stale_connection_is_replaced(certificates: TestCertificates) -> None:
    async def stale(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.head()
        peer.writer.transport.abort()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(
            stale, answers, server_tls=certificates.server_context(), tls=trusting(certificates)
        ) as stage:
            await stage.ask()
            assert (await stage.ask()).body == b"ok"
            assert (len(stage.peers), stage.pool.counts.retried) == (2, 1)

    dialogue()


@pytest.mark.parametrize("phase", ["sending", "waiting", "body"])
def test_cancel_is_seen_at_once(certificates: TestCertificates, phase: str) -> None:
    async def script(peer: Peer) -> None:
        if phase != "sending":
            await peer.request()
        if phase == "body":
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome")
        ready.set()
        await peer.gone()
        seen_close.set()

    ready, seen_close = asyncio.Event(), asyncio.Event()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(
            script, server_tls=certificates.server_context(), tls=trusting(certificates)
        ) as stage:
            answer = stage.start((BIG,) if phase == "sending" else (b"{}",))
            await ready.wait()
            if phase == "body":
                await answer.heard.wait()
            answer.call.cancel()
            await seen_close.wait()
            await until(lambda: stage.pool.counts.open == 0)
            assert not answer.over.is_set()

    dialogue()


@pytest.mark.parametrize("patience", [True, False])
def test_a_handshake_that_hangs_is_abandoned(patience: bool) -> None:
    async def mute(peer: Peer) -> None:
        await peer.reader.readexactly(5)
        ready.set()
        await peer.gone()
        seen_close.set()

    ready, seen_close = asyncio.Event(), asyncio.Event()

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(mute) as stage:
            now = 0.0
            pool = Pool(
                f"https://127.0.0.1:{stage.port}", Limits(), Timeouts(), clock=lambda: now, random=lambda: 0.0
            )
            answer = Answer()
            answer.call = pool.request(HEAD, (), answer, length=0, method=b"GET")
            await ready.wait()
            if patience:
                pool.sweep(5.0)
                assert isinstance(answer.error, UpstreamTimeout)
            else:
                answer.call.cancel()
                assert not answer.over.is_set()
            await seen_close.wait()
            await settle()
            assert pool.counts.open == 0
            await pool.close()

    dialogue()


def test_paused_and_resumed(certificates: TestCertificates) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BIG))
        peer.send(BIG)
        await answers(peer)

    @on_uvloop
    async def dialogue() -> None:
        async with Stage(
            script, server_tls=certificates.server_context(), tls=trusting(certificates)
        ) as stage:
            answer = stage.start()
            await answer.heard.wait()
            answer.call.pause()
            before = len(answer.body)
            await asyncio.sleep(0.05)
            assert len(answer.body) == before < len(BIG)
            answer.call.resume()
            await done(answer)
            assert answer.body == BIG
            assert (await stage.ask()).body == b"ok"

    dialogue()
