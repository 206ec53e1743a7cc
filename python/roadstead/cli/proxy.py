"""`roadstead proxy`: carry the requests of programs that cannot use the registry themselves."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import rich_click as click

from roadstead.cli import exit_codes
from roadstead.cli.kubernetes import followed
from roadstead.cli.options import Client, Source, client_options, empty, fail, source_options

if TYPE_CHECKING:
    from roadstead import Live, Registry
    from roadstead.dns import Resolver
    from roadstead.metrics.access_log import AccessLog
    from roadstead.proxy import Limits, Listener, Proxy
    from roadstead.sources import Source as Followed

# Seconds between two looks at what sources have to complain about.
_LOOK = 1.0


class _Given(msgspec.Struct, frozen=True):
    """The verb's own options."""

    listen: tuple[str, ...]
    listen_tls: tuple[str, ...]
    listen_tcp: tuple[str, ...]
    admin: str
    access_log: str
    access_log_format: str
    drain_time: float
    identity: str | None
    credentials: str | None
    ca: str | None
    resolver: str
    trust_envoy_headers: bool
    allow_open_relay: bool
    no_health_checks: bool
    max_header_kb: int
    max_headers: int
    max_body: int | None
    max_connections: int
    max_streams: int
    headers_timeout: float
    idle_timeout: float
    stream_idle_timeout: float
    connect_attempts: int


@click.command("proxy")
@click.option(
    "--listen",
    multiple=True,
    metavar="IP:PORT",
    help="HTTP and CONNECT; repeatable. Default: 127.0.0.1:15001.",
)
@click.option(
    "--listen-tls",
    multiple=True,
    metavar="IP:PORT[=PORT]",
    help="TLS, carried by its server name to that port (default: the port that was dialled); repeatable.",
)
@click.option(
    "--listen-tcp",
    multiple=True,
    metavar="IP:PORT[=HOST:PORT]",
    help="TCP, carried to a host of the registry (default: to the address that was dialled, a virtual IP); repeatable.",
)
@click.option(
    "--admin",
    default="127.0.0.1:15000",
    show_default=True,
    metavar="IP:PORT",
    help="Envoy's admin pages and /metrics, on loopback; none: without.",
)
@click.option(
    "--access-log",
    default="-",
    show_default=True,
    metavar="FILE",
    help="- is standard output; none: without. Opened again on SIGUSR1.",
)
@click.option(
    "--access-log-format",
    type=click.Choice(["envoy", "istio", "json"]),
    default="envoy",
    show_default=True,
    help="Envoy's default format, Istio's, or Istio's JSON.",
)
@click.option(
    "--drain-time",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long requests may go on after SIGTERM or Ctrl-C.",
)
@click.option(
    "--identity",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="cert-chain.pem, key.pem and root-cert.pem of the workload, for ISTIO_MUTUAL.",
)
@click.option(
    "--credentials", type=click.Path(file_okay=False), metavar="DIR", help="A folder for each credentialName."
)
@click.option(
    "--ca",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Authorities for https:// requests, which the proxy encrypts. Default: the system's.",
)
@click.option(
    "--resolver",
    type=click.Choice(["system", "cares", "none"]),
    default="system",
    show_default=True,
    help="Who keeps names fresh; none: each connection is resolved by the system.",
)
@click.option("--trust-envoy-headers", is_flag=True, help="x-envoy-retry-on and the like of clients are honoured.")
@click.option(
    "--allow-open-relay",
    is_flag=True,
    help="Let through what nobody declared also for other machines (with ALLOW_ANY).",
)
@click.option("--no-health-checks", is_flag=True, help="Do not run the configuration's active checks.")
@click.option("--max-header-kb", type=click.IntRange(min=1), default=60, show_default=True, help="KiB of a head.")
@click.option("--max-headers", type=click.IntRange(min=1), default=100, show_default=True, help="Lines of a head.")
@click.option("--max-body", type=click.IntRange(min=0), metavar="BYTES", help="Of a request. Default: no limit.")
@click.option("--max-connections", type=click.IntRange(min=1), default=10_000, show_default=True, help="Of clients.")
@click.option(
    "--max-streams", type=click.IntRange(min=1), default=100, show_default=True, help="Of a client at once (HTTP/2)."
)
@click.option(
    "--headers-timeout",
    type=click.FloatRange(min=0),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="For a head to come; 0: none.",
)
@click.option(
    "--idle-timeout",
    type=click.FloatRange(min=0),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two requests; 0: none.",
)
@click.option(
    "--stream-idle-timeout",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Within a request while nothing moves; 0: none.",
)
@click.option(
    "--connect-attempts",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Picks of an endpoint for a connection until one answers.",
)
@source_options
@client_options
def command(source: Source, client: Client, **given: object) -> int:
    """Carry requests and connections as the configuration says, which is followed as it changes.

    \b
    roadstead proxy -f mesh/
    curl -x http://127.0.0.1:15001 http://httpbin.org/get
    """  # fmt: skip
    options = msgspec.convert(given, _Given)
    if "-" in source.paths:
        raise click.UsageError("-f -: the configuration is followed as it changes: give files or folders")
    for path in source.paths:
        if not Path(path).exists():
            fail(f"{path}: no such file or folder", exit_codes.NO_INPUT)
    from roadstead import InputError, MissingExtra

    try:
        return asyncio.run(_run(options, empty(source, client), source))
    except MissingExtra as error:
        fail(str(error), exit_codes.USAGE)
    except InputError as error:
        raise click.UsageError(str(error)) from error


async def _run(options: _Given, registry: Registry, source: Source) -> int:
    from roadstead import Live
    from roadstead.clients.checks import opener
    from roadstead.metrics.admin import serve
    from roadstead.metrics.istio import ConnectionRecorder, RequestRecorder
    from roadstead.proxy import Proxy

    listeners = _listeners(options)
    requests, connections = RequestRecorder(registry), ConnectionRecorder(registry)
    verify = None if options.ca is None else ssl.create_default_context(cafile=options.ca)
    checking = opener(registry, identity=options.identity, credentials=options.credentials, verify=verify)
    live = Live(
        registry,
        sources=_sources(source),
        resolver=_resolver(options.resolver),
        health=not options.no_health_checks,
        opener=checking,
    )
    with ExitStack() as stack:
        log = _log(options)
        if log is not None:
            stack.callback(log.close)
        proxy = Proxy(
            registry,
            listeners,
            limits=_limits(options),
            identity=options.identity,
            credentials=options.credentials,
            ca=options.ca,
            trusted=options.trust_envoy_headers,
            allow_open_relay=options.allow_open_relay,
            log=log,
            requests=requests,
            connections=connections,
        )
        admin = None
        if options.admin != "none":
            try:
                admin = stack.enter_context(
                    serve(registry, options.admin, subject=proxy, collectors=(requests, connections))
                )
            except OSError as error:
                fail(f"--admin {options.admin}: {error.strerror}", exit_codes.IO)
        async with live:
            await live.ready()
            try:
                await proxy.start()
            except OSError as error:
                fail(error.strerror or str(error), exit_codes.IO)
            for one, address in zip(listeners, proxy.addresses, strict=True):
                _say(f"{one.kind} on {address[0]}:{address[1]}")
            if admin is not None:
                _say(f"admin on http://{admin.address[0]}:{admin.address[1]}")
            await _serve(proxy, live, log, options.drain_time)
    return exit_codes.OK


async def _serve(proxy: Proxy, live: Live, log: AccessLog | None, drain_time: float) -> None:
    """Until a signal ends it; a second one does not wait for anybody."""
    loop = asyncio.get_running_loop()
    ended, at_once = asyncio.Event(), asyncio.Event()

    def end() -> None:
        (at_once if ended.is_set() else ended).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    if log is not None:
        loop.add_signal_handler(signal.SIGUSR1, log.reopen)
    told: set[str] = set()
    waiting = asyncio.create_task(ended.wait())
    while not waiting.done():
        _complain(live, told)
        await asyncio.wait([waiting], timeout=_LOOK)
    _say(f"draining, at most {drain_time:g} seconds")
    draining = asyncio.create_task(proxy.drain(drain_time))
    hurrying = asyncio.create_task(at_once.wait())
    await asyncio.wait([draining, hurrying], return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        await proxy.close()
    hurrying.cancel()
    await asyncio.wait([draining, hurrying])


def _complain(live: Live, told: set[str]) -> None:
    """Of what is new among errors: a document that is refused, a source that cannot be read, a loop that ended."""
    status = live.status()
    said = list(status.failed)
    for source in status.sources:
        said += [f"{source.name}: {source.error}"] if source.error else []
        said += [str(finding) for finding in source.findings if finding.severity == "error"]
    for text in said:
        if text not in told:
            _say(text)
    told.clear()
    told.update(said)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _listeners(options: _Given) -> list[Listener]:
    from roadstead.proxy import listener

    plain = options.listen
    if not plain and not options.listen_tls and not options.listen_tcp:
        plain = ("127.0.0.1:15001",)
    return [
        *[listener("http", text) for text in plain],
        *[listener("tls", text) for text in options.listen_tls],
        *[listener("tcp", text) for text in options.listen_tcp],
    ]


def _limits(options: _Given) -> Limits:
    from roadstead.proxy import Limits

    return Limits(
        header_bytes=options.max_header_kb * 1024,
        headers=options.max_headers,
        body_bytes=options.max_body,
        connections=options.max_connections,
        streams=options.max_streams,
        headers_timeout=options.headers_timeout or None,
        idle_timeout=options.idle_timeout or None,
        stream_idle_timeout=options.stream_idle_timeout or None,
        connect_attempts=options.connect_attempts,
    )


def _log(options: _Given) -> AccessLog | None:
    from roadstead.metrics.access_log import FORMS, AccessLog

    if options.access_log == "none":
        return None
    form = next(form for form in FORMS if form == options.access_log_format)
    try:
        return AccessLog(sys.stdout if options.access_log == "-" else options.access_log, form)
    except OSError as error:
        fail(f"--access-log {options.access_log}: {error.strerror}", exit_codes.IO)


def _sources(source: Source) -> list[Followed]:
    """The cluster, and above it the files."""
    found: list[Followed] = [] if source.cluster is None else [followed(source.cluster)]
    if source.paths:
        from roadstead.sources.files import Files

        found.append(Files(*source.paths))
    return found


def _resolver(name: str) -> Resolver | None:
    if name == "system":
        from roadstead.dns.system import SystemResolver

        return SystemResolver()
    if name == "cares":
        from roadstead.dns.cares import CaresResolver

        return CaresResolver()
    return None
