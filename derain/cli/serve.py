"""`derain serve`."""

from typing import Annotated, Optional

import typer

from derain.cli.inputs import check_weights
from derain.cli.interrupts import sigterm_is_the_end
from derain.cli.options import Device, MaxMemory, Precision, Quiet, Threads, use_threads
from derain.cli.terminal import is_lost, say, tell
from derain.extras import check_extra


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen on this address; 0.0.0.0 means every network interface.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Listen on this port; 0 takes a free one.")
    ] = 7246,
    weights: Annotated[
        Optional[list[str]],
        typer.Option(metavar="WEIGHTS", help="As in `derain run`; repeatable, and requests choose by name."),
    ] = None,
    hosts: Annotated[
        Optional[list[str]],
        typer.Option("--allow-host", metavar="NAME", help="Also answer to this host name; repeatable."),
    ] = None,
    proxy: Annotated[
        Optional[str], typer.Option(metavar="ADDRESS", help="Trust X-Forwarded-For from this address.")
    ] = None,
    max_megabytes: Annotated[float, typer.Option(min=0.001, metavar="MB", help="Refuse larger uploads.")] = 200.0,
    max_megapixels: Annotated[float, typer.Option(min=0.001, metavar="MP", help="Refuse larger photos.")] = 100.0,
    max_waiting: Annotated[int, typer.Option(min=1, metavar="N", help="Requests to accept at once.")] = 64,
    max_per_client: Annotated[
        int, typer.Option(min=1, metavar="N", help="Requests to accept at once from one client.")
    ] = 16,
    device: Device = "auto",
    precision: Precision = "auto",
    max_memory: MaxMemory = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Serve a page and an HTTP API that remove the rain from photos.

    Uploads are not stored. Only this machine can reach the server, unless you give --host. Ctrl-C stops it after the
    current photo, a second Ctrl-C at once.
    """
    from derain.serve import Limits, app
    from derain.serve.names import by_name

    check_extra("serve", "serve")
    from derain.serve.clients import check_hosts, check_proxy

    check_hosts(hosts or [])
    check_proxy(proxy)
    named = list(by_name(weights or ["derain"]).values())
    check_weights(*map(str, named))
    with sigterm_is_the_end():
        from derain.serve.listening import listen
        from derain.serve.listening import serve as run

        limits = Limits(max_megabytes, max_megapixels, max_waiting, max_per_client)
        address = listen(host, port)
        use_threads(threads)
        service = app(
            named,
            device=device,
            precision=precision,
            max_memory=max_memory,
            limits=limits,
            hosts={*address.names, *(hosts or [])},
        )
        if not quiet:
            say(f"weights {', '.join(map(str, named))} on {service.state.service.device}; press Ctrl-C to stop")
        if not address.loopback:
            say(f"{host}: anyone who can reach this machine can use it; there is no password", "yellow")
        tell(address.url)
        if is_lost():
            say(f"listening on {address.url}")
        run(service, address, proxy)
