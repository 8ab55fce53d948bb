"""An S3 server on 127.0.0.1, in a process of its own, and the environment in which Arrow, delta-rs and Spark find it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.processes.spark_submit import PROJECT
from tests.processes.waiting import wait_for

_HOST = "127.0.0.1"
_STARTED = re.compile(rf"Running on http://{_HOST}:(\d+)")
_REQUEST = re.compile(r'"((?:GET|HEAD|PUT|POST|DELETE) \S+) HTTP')


@dataclass(frozen=True)
class S3Server:
    """``environment``: what a process needs to reach the server; ``log``: the file in which it writes its requests."""

    environment: dict[str, str]
    log: Path

    def requests(self) -> list[str]:
        """All requests so far: method and path."""
        return _REQUEST.findall(self.log.read_text(encoding="utf-8"))

    def fail(self, kind: str, method: str, match: str, times: int) -> None:
        """Let the next requests fail whose method this is, and whose path matches; see ``s3_app``."""
        faults = [{"kind": kind, "method": method, "match": match, "times": times}]
        request = Request(f"{self.environment['AWS_ENDPOINT_URL']}/faults", json.dumps(faults).encode(), method="POST")
        urlopen(request).close()

    def keys(self, bucket: str) -> dict[str, bytes]:
        """All objects with their contents; of a bucket that keeps versions, all versions."""
        client = self.client()
        pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket)
        found = [each for page in pages for each in page.get("Versions", ())]
        return {
            f"{each['Key']}@{each['VersionId']}": client.get_object(
                Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"]
            )["Body"].read()
            for each in found
        }

    def make_bucket(self, name: str) -> None:
        """Make a bucket without objects."""
        self.client().create_bucket(Bucket=name)

    def keep_versions(self, bucket: str) -> None:
        """Let a bucket keep each object that is replaced or removed."""
        self.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def remove_older_versions(self, bucket: str) -> None:
        """Remove what a lifecycle rule for noncurrent versions removes."""
        client = self.client()
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            old = [each for each in page.get("Versions", ()) if not each["IsLatest"]]
            doomed = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in old]
            if doomed:
                client.delete_objects(Bucket=bucket, Delete={"Objects": doomed, "Quiet": True})

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=self.environment["AWS_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A server without buckets that runs meanwhile; its log is in ``folder``. Raises TimeoutError with the log."""
    log = folder / "s3_server.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.processes.s3_app"],
            cwd=PROJECT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        started = wait_for("S3 server", lambda: _STARTED.search(log.read_text()), lambda: log.read_text()[-2000:])
        environment = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "nobody-may-see-this",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{_HOST}:{started[1]}",
            "AWS_ALLOW_HTTP": "true",
        }
        yield S3Server(environment, log)
    finally:
        server.kill()
        server.wait()
