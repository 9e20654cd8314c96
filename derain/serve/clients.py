"""Who a client is, whether it is still there, and what browsers may ask for."""

import asyncio
import ipaddress
import re
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from derain.errors import UsageError
from derain.serve.refusals import Refusal
from derain.text import printable

HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)  # as browsers send it, other letters as xn--...
IPV6_NETWORK = 64  # bits that one client has
Result = TypeVar("Result")


def client_of(request: Request) -> str:
    """The client's address; of IPv6 its network, as one client has many addresses."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), IPV6_NETWORK), strict=False))
    return str(address)


async def unless(work: Coroutine[Any, Any, Result], *ends: Coroutine[Any, Any, None]) -> Result:
    """The result of ``work``, unless one of ``ends`` comes first and raises; then work is cancelled."""
    task = asyncio.ensure_future(work)
    others = [asyncio.ensure_future(end) for end in ends]
    try:
        await asyncio.wait([task, *others], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            for other in others:
                if other.done():
                    other.result()
        return task.result()
    finally:
        for each in (task, *others):
            each.cancel()
        await asyncio.gather(task, *others, return_exceptions=True)


async def until_gone(request: Request) -> None:
    """To be awaited after the body has been read.

    Raises:
        ClientDisconnect: the connection was cut.
    """
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect


def refuse_foreign(headers: Headers, method: str, hosts: Collection[str] | None) -> None:
    """
    Raises:
        Refusal: a browser was led here under a name that is not ours, or by another site's page.
    """
    host = headers.get("host", "")
    if hosts is not None and not _is_ours(host, hosts):
        name = printable(host) or "no host"
        raise Refusal(421, f"{name}: not a name of this server; use its address, or allow this name when you start it")
    if method in ("GET", "HEAD"):
        return
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site is not None:  # of browsers that know us to be safe; a proxy may have changed the host
        foreign = site not in ("same-origin", "none")
    else:
        foreign = origin is not None and _place_of(origin) != host.lower()
    if foreign:
        raise Refusal(403, "pages of other sites cannot send photos here")


def _place_of(origin: str) -> str:
    """Host and port of an Origin header; empty of one that is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def check_are_names(hosts: Collection[str]) -> None:
    """
    Raises:
        UsageError: no names.
    """
    if isinstance(hosts, str) or not (isinstance(hosts, Collection) and all(isinstance(host, str) for host in hosts)):
        raise UsageError(f"`hosts` {hosts!r}: give a list of names, such as ['photos.example.org']")


def check_hosts(hosts: Collection[str]) -> None:
    """
    Raises:
        UsageError: what no browser would ever ask for as a host.
    """
    for host in hosts:
        if not HOST_NAME.fullmatch(host):
            raise UsageError(f"`hosts` {host!r}: not a host name; give one such as photos.example.org")


def check_proxy(address: str | None) -> None:
    """
    Raises:
        UsageError: neither an address nor a network, so that no client would ever have it.
    """
    for each in [] if address is None or address == "*" else address.split(","):
        try:
            ipaddress.ip_network(each.strip())
        except ValueError:
            raise UsageError(f"`proxy` {each!r}: not an IP address; give one such as 10.0.0.2, or *") from None


def _is_ours(host: str, hosts: Collection[str]) -> bool:
    """Whether a Host header is an address, which no other site can make its own, or one of our names."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower() in {allowed.lower() for allowed in hosts}
    return True
