"""`derain serve`."""

from typing import Annotated, Optional

import typer

from derain.cli.options import Device, MaxMemory, Precision, Quiet, Threads
from derain.cli.terminal import say, tell


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 7246,
    weights: Annotated[
        Optional[list[str]],
        typer.Option(help="As in `derain run`; may be repeated, requests then choose by name. Default: derain."),
    ] = None,
    hosts: Annotated[
        Optional[list[str]],
        typer.Option("--allow-host", help="Answer to this name too, besides addresses; may be repeated."),
    ] = None,
    proxy: Annotated[
        Optional[str], typer.Option(help="Believe this address which client it passes on (X-Forwarded-For).")
    ] = None,
    max_megabytes: Annotated[float, typer.Option(min=0.001, help="Refuse uploads that are larger.")] = 200.0,
    max_megapixels: Annotated[float, typer.Option(min=0, help="Refuse photos that are larger.")] = 100.0,
    max_waiting: Annotated[int, typer.Option(min=1, help="Requests that may wait.")] = 64,
    max_waiting_per_client: Annotated[int, typer.Option(min=1, help="Requests of one client that may wait.")] = 16,
    device: Device = "auto",
    precision: Precision = "auto",
    max_memory: MaxMemory = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Serve a page and an HTTP API that remove the rain from photos.

    Nothing that is sent is stored. Only this machine can reach it, unless --host says otherwise. Ctrl-C ends it after
    the photo that is under way.
    """
    from derain.serve import Limits, app, refuse_missing_libraries

    refuse_missing_libraries()
    from derain.serve.listening import listen
    from derain.serve.listening import serve as run

    limits = Limits(max_megabytes, max_megapixels, max_waiting, max_waiting_per_client)
    address = listen(host, port)
    if threads:
        import torch

        torch.set_num_threads(threads)
    service = app(
        weights or ["derain"],
        device=device,
        precision=precision,
        max_memory=max_memory and max_memory * 1e9,
        limits=limits,
        hosts={*address.names, *(hosts or [])},
    )
    if not quiet:
        say(f"weights {', '.join(weights or ['derain'])} on {service.state.service.device}; Ctrl-C ends it")
    if not address.loopback:
        say(f"{host}: anybody who reaches this machine may use it, as there are no passwords", "yellow")
    tell(address.url)
    run(service, address, limits.connections, proxy)
