"""Trainings of several processes on one machine, joined by Gloo, without a cluster."""

from __future__ import annotations

import socket

import torch

from training.harness.run import Request, train


def _rank(number: int, request: Request, num_ranks: int, port: int) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=num_ranks
    )
    train(request, lambda _: None)
    torch.distributed.destroy_process_group()


def together(request: Request, num_ranks: int) -> None:
    """Train by `num_ranks` processes; raises what one of them raised."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_rank, (request, num_ranks, port), num_ranks)
