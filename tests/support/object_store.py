"""An S3 of the tests' own, on loopback: moto's server in a process that is ended by its id."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import fsspec

STARTS_IN_S = 30
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    # GDAL's own names.
    "AWS_HTTPS": "NO",
    "AWS_VIRTUAL_HOSTING": "FALSE",
}


@contextlib.contextmanager
def object_store(*, knows_us: bool = True) -> Iterator[dict[str, str]]:
    """Start it, and return the environment that leads to it; knows_us: whether it takes the credentials."""
    reported = os.environ | ({} if knows_us else {"INITIAL_NO_AUTH_ACTION_COUNT": "0"})
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=reported
    ) as server:
        try:
            assert server.stderr is not None
            address = next(line.split()[-1] for line in server.stderr if "Running on" in line)
            server.stderr.close()
            yield SETTINGS | {"AWS_ENDPOINT_URL": address, "AWS_S3_ENDPOINT": address.removeprefix("http://")}
        finally:
            server.terminate()
            try:
                server.wait(STARTS_IN_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def forget_connections() -> None:
    """Have the next call connect anew: to another server, by other settings."""
    with contextlib.suppress(ImportError, ValueError):
        fsspec.get_filesystem_class("s3").clear_instance_cache()
