"""Whether this process reaches tables on an object store or a cluster's file system by itself, without Spark."""

from __future__ import annotations

from contextlib import suppress

import deltalake
import pyarrow as pa
from deltalake.exceptions import DeltaError, TableNotFoundError

from featurestore.stores.delta.native_errors import first_line
from featurestore.stores.places import Folder, library_uri

# Without credentials the libraries would ask for those of a machine in a cloud, for minutes.
_QUICK = {"max_retries": "2", "retry_timeout": "5s", "connect_timeout": "3s", "timeout": "10s"}


def why_unreachable(warehouse: str) -> str | None:
    """Why delta-rs or Arrow cannot read a warehouse at a URI; None if both answered. Costs a few requests."""
    uri = library_uri(warehouse.rstrip("/"))
    if uri.startswith("hdfs://") and "%" in uri:
        return f"only Spark reads {warehouse}: delta-rs finds no HDFS path with such characters; use letters and digits"
    try:
        with suppress(TableNotFoundError):
            deltalake.DeltaTable(f"{uri}/_store/registry", storage_options=_QUICK)
        folder = Folder.of(uri)
        if folder.system is not None:
            folder.system.get_file_info(folder.path)
    except (DeltaError, OSError, pa.ArrowException) as error:
        return (
            f"only Spark reads {warehouse} ({first_line(error)}); what this process and Spark's tasks need to read it "
            "themselves is in docs/deployment.md, Object stores"
        )
    return None
