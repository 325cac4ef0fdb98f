"""Makes every socket an error, for tests of what must not use the network."""

from __future__ import annotations

import socket


class NetworkUsed(AssertionError):
    pass


def refuse_sockets(monkeypatch):
    """Every socket is an error."""

    def refuse(*arguments, **options):
        raise NetworkUsed("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
