"""A database driver through the registry: `python postgres.py mesh.yaml user password database`.

pg8000 takes a connected socket. The registry says where it goes, counts it against the DestinationRule's
maxConnections until the driver closes it, and gives it the rule's connect timeout, keepalive and TLS. Needs
`pip install roadstead pg8000`.
"""

from __future__ import annotations

import sys

import pg8000.dbapi

from roadstead import Overflow, Registry
from roadstead.clients.socket import create_connection

HOST, PORT = "postgres.example.com", 5432


def connect(registry: Registry, user: str, password: str, database: str) -> pg8000.dbapi.Connection:
    """A connection of the driver. Overflow where the mesh allows no more of them."""
    sock = create_connection(registry, HOST, PORT)
    try:
        return pg8000.dbapi.connect(user, password=password, database=database, sock=sock)
    except BaseException:
        sock.close()
        raise


def main() -> None:
    mesh, user, password, database = sys.argv[1:]
    registry = Registry.from_files(mesh)
    connections = []
    try:
        while len(connections) < 20:
            connections.append(connect(registry, user, password, database))
    except Overflow as refused:
        print(f"the mesh allows {len(connections)} connections: {refused}")
    cursor = connections[0].cursor()
    cursor.execute("SELECT version()")
    print(cursor.fetchone()[0])
    for one in connections:
        one.close()
    print(f"{active(registry)} connections are counted")


def active(registry: Registry) -> int:
    """Connections that hold a place now."""
    cluster = registry.cluster(f"outbound|{PORT}||{HOST}")
    return 0 if cluster is None else cluster.stats["upstream_cx_active"]


if __name__ == "__main__":
    main()
