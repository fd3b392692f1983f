"""Several processes on one machine, joined by Gloo, without a cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable

import torch

from training.harness.run import Request, train


def _rank(number: int, num_ranks: int, port: int, task: Callable, more: tuple) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=num_ranks
    )
    task(*more)
    torch.distributed.destroy_process_group()


def on_ranks(num_ranks: int, task: Callable, *more: object) -> None:
    """Call `task`, which stands in a module, on each rank; raises what one of them raised."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_rank, (num_ranks, port, task, more), num_ranks)


def _silently(request: Request) -> None:
    train(request, lambda _: None)


def together(request: Request, num_ranks: int) -> None:
    """Train by `num_ranks` processes."""
    on_ranks(num_ranks, _silently, request)
