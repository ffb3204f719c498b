"""Change a setting that others may be changing, too: read, decide, update, and begin anew if late."""

import sys

from dedup_model.errors import InvalidRequest, RevisionConflict
from dedup_rpc.client import ConfigClient, Edit, ServiceError


def raise_threshold(client: ConfigClient, step: float) -> Edit:
    while True:
        view = client.get()
        high = round(view.config.thresholds.high + step, 3)
        try:
            return client.update(
                {"thresholds.high": high}, etag=view.etag, reason="too many merges"
            )
        except RevisionConflict:
            continue  # somebody was faster: decide again on what holds now


def main(address: str) -> None:
    with ConfigClient(address) as client:
        try:
            edit = raise_threshold(client, 0.01)
        except InvalidRequest as error:
            for violation in error.violations:
                print(violation.path, violation.description)
        except ServiceError as error:
            print("unknown whether it was applied" if error.maybe_applied else "not applied", error)
        else:
            for change in edit.changes:
                print(edit.etag, change.path, change.old, "->", change.new)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051")
