"""The door of a command: what can be done and said before its own libraries are loaded."""

import importlib
import os
import sys

CONFIG_ERROR = 78
"""Exit status of a command that cannot run as it was told, or as it is installed (EX_CONFIG)."""

INTERRUPTED = 130
"""Exit status of a command that a person stopped (128 + SIGINT)."""


def enter(command: str, module: str, extra: str, prefix: str = "") -> None:
    """Run `main` of a command's module; exits with 78 and one line when its extra is missing.

    `health`, of the command of a service whose variables have a `prefix`, asks the running server
    and loads nothing else: a container asks every few seconds.
    """
    # read when grpc is imported: its core would write a line about each connection that ends
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if prefix and sys.argv[1:] == ["health"]:
        importlib.import_module("dedup_rpc.probe").main(command, prefix)
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"{command}: {error.name} is not installed: pip install 'event-dedup[{extra}]'\n"
        )
        sys.exit(CONFIG_ERROR)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    main()
