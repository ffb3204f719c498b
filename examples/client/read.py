"""Read the settings: what holds, where it comes from, how it came about."""

import sys
from itertools import islice

from dedup_rpc.client import ConfigClient


def main(address: str) -> None:
    with ConfigClient(address) as client:
        view = client.get()
        print("etag", view.etag)
        print("thresholds.high", view.config.thresholds.high, view.provenance["thresholds.high"])

        for revision in islice(client.history(path_prefix="thresholds"), 10):
            print(revision.number, revision.author, revision.reason)

        snapshot = client.snapshot()  # what a batch runs on: immutable, typed
        again = client.snapshot(snapshot)  # the same object while nothing has changed
        print("unchanged", again is snapshot)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051")
