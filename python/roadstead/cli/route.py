"""`roadstead route`: a request in, the decision out, with the reason of each step."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import rich_click as click

from roadstead.cli import curl, exit_codes, output
from roadstead.cli.explain import Step, concerned, steps
from roadstead.cli.options import Client, Source, client_options, complain, load, source_options
from roadstead.config import Finding
from roadstead.errors import Unavailable
from roadstead.host import with_port
from roadstead.mesh import StringMatch, VirtualHost

if TYPE_CHECKING:
    from roadstead import Decision, Registry

_DEFAULT_PORTS = {"http": 80, "https": 443}
# What a policy says even where it is the default; else only what somebody set is shown.
_ALWAYS = frozenset(("attempts", "retry_on", "connect_timeout", "policy", "mode"))
_UNREACHABLE = ("not_found", "refused", "no_cluster")


class Request(msgspec.Struct, frozen=True):
    """What was asked. scheme: http and https: a request, tcp and tls: a connection; sni: the latter's server name."""

    scheme: str
    host: str
    port: int
    path: str = "/"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    sni: str | None = None


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer, as json and yaml show it; python/docs/shell.md tells what each field means."""

    request: Request
    kind: str
    status: int
    flags: str
    cluster: str
    endpoint: str
    endpoints: dict[str, int]
    path: str
    authority: str
    timeout: float | None
    draw: int
    reasons: tuple[str, ...]
    steps: tuple[Step, ...]
    warnings: tuple[Finding, ...] = ()
    retry: object = None
    request_headers: tuple[tuple[str, str, str], ...] = ()
    response_headers: tuple[tuple[str, str, str], ...] = ()
    redirect: tuple[int, str] | None = None
    direct_response: tuple[int, str] | None = None
    fault: tuple[float, int, int] | None = None
    mirrors: tuple[str, ...] = ()
    set_cookies: tuple[str, ...] = ()
    application_tls: bool = False
    tls: object = None
    load_balancer: object = None
    connection_pool: object = None
    outlier_detection: object = None
    health_checks: tuple[object, ...] = ()
    cors: object = None
    error: str = ""


@click.command("route")
@click.argument("url", required=False)
@click.option("--curl", "pasted", metavar="COMMAND", help="Take the request from a pasted curl command.")
@click.option("-X", "--request", "method", help="Method. Default: GET.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Request header; repeatable.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port, where the URL has none. Default: by scheme.")
@click.option("--sni", metavar="NAME", help="Server name of a tls:// connection. Default: the host.")
@click.option("--source-ip", metavar="IP", help="Address of the caller, for hashing by source.")
@click.option("--draw", type=click.IntRange(0, 2**64 - 1), help="The random number of the decision. Default: 0.")
@click.option(
    "--picks",
    type=click.IntRange(1, 1_000_000),
    default=1,
    show_default=True,
    help="Decide this often and count the endpoints.",
)
@click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True
)
@source_options
@client_options
def command(
    url: str | None,
    pasted: str | None,
    method: str | None,
    headers: tuple[str, ...],
    port: int | None,
    sni: str | None,
    source_ip: str | None,
    draw: int | None,
    picks: int,
    form: str,
    source: Source,
    client: Client,
) -> int:
    """Show where a request goes, and why.

    URL is http://, https://, tcp:// or tls://. Exit code 69 where the request would not be answered by a service.

    \b
    roadstead route -f mesh/ https://httpbin.org/get
    roadstead route -f mesh/ http://shop.example.com/cart -X POST -H 'x-user-region: eu' --picks 1000
    roadstead route -f mesh/ tcp://240.0.0.1:3306 -o json
    roadstead route -f mesh/ --curl "curl -H 'x-user-region: eu' https://cdn.example.com/logo.png"
    """
    request = _request(url, pasted, method, headers, port, sni)
    if source_ip is not None and not _is_ip(source_ip):
        raise click.UsageError(f"--source-ip {source_ip}: not an IP address")
    registry = load(source, client, seed=0)
    complain(registry.diagnostics)
    if not registry.resources:
        click.echo(f"no resources in {source}: every host is unknown", err=True)
    decision = _decide(registry, request, source_ip, 0 if draw is None else draw)
    report = _report(registry, request, decision, _count(registry, request, source_ip, decision, picks, draw))
    if form == "table":
        _show(report)
    else:
        output.write(output.tree_of(report), form)
    return exit_codes.UNAVAILABLE if report.kind in _UNREACHABLE or report.error else exit_codes.OK


def _request(
    url: str | None, pasted: str | None, method: str | None, lines: tuple[str, ...], port: int | None, sni: str | None
) -> Request:
    headers: tuple[tuple[str, str], ...] = ()
    if pasted is not None:
        if url is not None:
            raise click.UsageError("give a URL or --curl, not both")
        read = curl.parse(pasted)
        url, headers, method = read.url, read.headers, method or read.method
    if url is None:
        raise click.UsageError("give a URL, or --curl with a command")
    headers += tuple(_header(line) for line in lines)
    try:
        parts = urlsplit(url if "://" in url else "http://" + url)
        number = port or parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError as error:
        raise click.UsageError(f"{url}: {error}") from None
    if parts.scheme not in ("http", "https", "tcp", "tls") or not parts.hostname:
        raise click.UsageError(f"{url}: expected http://, https://, tcp:// or tls:// and a host")
    if number is None:
        raise click.UsageError(f"{url}: a {parts.scheme} connection needs a port")
    if parts.scheme in ("tcp", "tls"):
        return Request(parts.scheme, parts.hostname, number, "", "", (), sni)
    host = parts.hostname
    for name, value in headers:
        if name.lower() == "host":
            host = value
    rest = tuple((name, value) for name, value in headers if name.lower() != "host")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Request(parts.scheme, host, number, path, (method or "GET").upper(), rest)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"-H {line!r}: expected 'NAME: VALUE'")
    return name.strip(), value.strip()


def _decide(registry: Registry, request: Request, source_ip: str | None, draw: int | None) -> Decision:
    if request.scheme in ("tcp", "tls"):
        sni = (request.sni or request.host) if request.scheme == "tls" else None
        return registry.connect(request.host, request.port, sni=sni, source_ip=source_ip, draw=draw)
    # The scheme of a plain request is left to the port's protocol unless the URL says https.
    scheme = "https" if request.scheme == "https" else None
    return registry.route(
        request.host,
        request.port,
        request.path,
        request.method,
        request.headers,
        scheme=scheme,
        source_ip=source_ip,
        draw=draw,
    )


def _count(
    registry: Registry, request: Request, source_ip: str | None, first: Decision, picks: int, draw: int | None
) -> tuple[str, dict[str, int], str]:
    """The first decision's endpoint, how often each was picked, and why there is none."""
    if first.kind not in ("forward", "passthrough"):
        return "", {}, ""
    counts: Counter[str] = Counter()
    chosen = ""
    decision = first
    for number in range(picks):
        if number and draw is None:
            decision = _decide(registry, request, source_ip, None)
        try:
            endpoint = decision.pick()
        except Unavailable as error:
            return "", {}, f"{error.status} {error.flags}: {error}"
        text = _endpoint(endpoint.address, endpoint.port)
        chosen = chosen or text
        place = f" {endpoint.locality}" if endpoint.locality else ""
        counts[f"{text}{place}"] += 1
    return chosen, dict(counts.most_common()), ""


def _endpoint(address: str, port: int) -> str:
    return with_port(address, port) if port else address


def _report(
    registry: Registry, request: Request, decision: Decision, picked: tuple[str, dict[str, int], str]
) -> Report:
    endpoint, endpoints, error = picked
    cluster = decision.cluster
    direct = decision.direct_response
    http = request.scheme in ("http", "https")
    return Report(
        request=request,
        kind=decision.kind,
        status=decision.status,
        flags=decision.flags,
        cluster=decision.cluster_name,
        endpoint=endpoint,
        endpoints=endpoints,
        path=decision.path if http else "",
        authority=decision.authority if http else "",
        timeout=decision.timeout,
        draw=decision.draw,
        reasons=decision.reasons,
        steps=tuple(steps(registry, decision, request.host)),
        warnings=tuple(sorted(_warnings(registry, decision))),
        retry=decision.retry,
        request_headers=decision.request_headers,
        response_headers=decision.response_headers,
        redirect=decision.redirect,
        direct_response=None if direct is None else (direct[0], direct[1].decode(errors="replace")),
        fault=decision.fault,
        mirrors=decision.mirrors,
        set_cookies=decision.set_cookies,
        application_tls=decision.application_tls,
        tls=decision.tls,
        load_balancer=None if cluster is None else cluster.load_balancer,
        connection_pool=decision.connection_pool,
        outlier_detection=None if cluster is None else cluster.outlier_detection,
        health_checks=() if cluster is None else tuple(cluster.health_checks),
        cors=decision.cors,
        error=error,
    )


def _warnings(registry: Registry, decision: Decision) -> Iterator[Finding]:
    """What validation says about the resources that the decision rests on."""
    host = decision.virtual_host
    for origin in concerned(decision):
        for finding in registry.findings(origin):
            # A warning about HTTPS ports is none about another port's rules.
            if finding.code == "EXT-9" and not (isinstance(host, VirtualHost) and host.tls):
                continue
            if finding.severity != "info":
                yield finding


def _show(report: Report) -> None:
    request = report.request
    asked = f"{request.scheme}://{_endpoint(request.host, request.port)}{request.path}"
    click.echo(click.style(f"{request.method} {asked}".strip(), bold=True))
    colour = (
        "green"
        if report.kind in ("forward", "passthrough", "redirect", "direct_response") and not report.error
        else "red"
    )
    outcome = " ".join(filter(None, (report.kind, str(report.status or ""), report.flags)))
    click.echo(click.style(f"→ {outcome}", fg=colour) + (f"  {report.endpoint}" if report.endpoint else ""))
    click.echo()
    output.fields(_policy(report))
    if len(report.endpoints) > 1:
        click.echo()
        total = sum(report.endpoints.values())
        rows = [[name, str(count), f"{100 * count / total:.1f} %"] for name, count in report.endpoints.items()]
        output.table(("ENDPOINT", "PICKS", "SHARE"), rows)
    click.echo()
    _show_steps(report.steps)
    if report.warnings:
        click.echo()
        for finding in report.warnings:
            output.paragraph(str(finding), colour="yellow")


def _show_steps(shown: tuple[Step, ...]) -> None:
    """Each step, and under it the place that is the reason: no line gets wide, and places can be clicked."""
    width = max((len(step.step) for step in shown), default=0)
    for step in shown:
        output.field(step.step, step.what, width)
        place = "  ".join(filter(None, (step.at, step.resource)))
        if place:
            click.echo(" " * (width + 2) + click.style(place, dim=True))


def _policy(report: Report) -> list[tuple[str, str]]:
    """The fields of a forwarded request that people look for, in the order in which they take effect."""
    redirect = report.redirect
    direct = report.direct_response
    return [
        ("cluster", report.cluster),
        ("path", report.path if report.path != report.request.path else ""),
        ("authority", report.authority if report.authority != report.request.host else ""),
        ("headers", ", ".join(f"{op} {name}: {value}" for op, name, value in report.request_headers)),
        ("response headers", ", ".join(f"{op} {name}: {value}" for op, name, value in report.response_headers)),
        ("redirect", "" if redirect is None else f"{redirect[0]} {redirect[1]}"),
        ("direct response", "" if direct is None else f"{direct[0]} {direct[1]}"),
        ("fault", "" if report.fault is None else _fault(report.fault)),
        ("timeout", "" if report.timeout is None else f"{report.timeout:g} s"),
        ("retry", _set_fields(report.retry, ("origin",))),
        ("mirrors", ", ".join(report.mirrors)),
        ("set-cookie", ", ".join(report.set_cookies)),
        ("TLS by caller", "yes" if report.application_tls else ""),
        ("TLS by mesh", _set_fields(report.tls)),
        ("load balancer", _set_fields(report.load_balancer)),
        ("connection pool", _set_fields(report.connection_pool)),
        ("outlier detection", _set_fields(report.outlier_detection)),
        ("health checks", "; ".join(_set_fields(check) for check in report.health_checks)),
        ("cors", _set_fields(report.cors)),
        ("error", report.error),
    ]


def _fault(fault: tuple[float, int, int]) -> str:
    delay, status, grpc = fault
    parts = [
        f"delay {delay:g} s" if delay else "",
        f"abort {status}" if status else "",
        f"grpc {grpc}" if grpc >= 0 else "",
    ]
    return ", ".join(filter(None, parts))


def _set_fields(value: object, hidden: tuple[str, ...] = ()) -> str:
    """`name=value` of the fields of a policy that are not at their default, and of those that always tell something."""
    if not isinstance(value, msgspec.Struct):
        return ""
    shown = []
    for field in msgspec.structs.fields(value):
        current = getattr(value, field.name)
        if field.name in hidden or current in (None, "", (), False):
            continue
        if isinstance(current, msgspec.Struct):
            inner = _set_fields(current)
            if inner:
                shown.append(f"{field.name}({inner})")
        elif current is True:
            shown.append(field.name)
        elif current != field.default or field.name in _ALWAYS:
            shown.append(f"{field.name}={_value(current)}")
    return " ".join(shown)


def _value(value: object) -> str:
    if isinstance(value, StringMatch):
        return f"{value.kind}:{value.value}"
    if isinstance(value, msgspec.Struct):
        return f"({_set_fields(value)})"
    if isinstance(value, tuple):
        return "[" + ",".join(_value(one) for one in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
