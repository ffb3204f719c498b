"""Writes the Python code of the protos below a folder: `python protos/generate.py libs`."""

import sys
from pathlib import Path

from grpc_tools import protoc


def generate(target: Path) -> None:
    """Write messages, services and their type stubs into `target`; raise when protoc refuses."""
    root = Path(__file__).parent
    files = sorted(str(path.relative_to(root)) for path in root.glob("eventdedup/**/*.proto"))
    kinds = ("python", "grpc_python", "mypy", "mypy_grpc")
    options = [f"--{kind}_out={target}" for kind in kinds]
    bin_folder = Path(sys.executable).parent
    options += [
        f"--plugin=protoc-gen-{kind}={bin_folder / f'protoc-gen-{kind}'}"
        for kind in ("mypy", "mypy_grpc")
    ]
    includes = [f"-I{root}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    if protoc.main(["protoc", *includes, *options, *files]):
        raise SystemExit("protoc refused the protos")
    for folder in {target / Path(file).parent for file in files}:
        for package in (folder, *folder.parents):
            if package == target:
                break
            (package / "__init__.py").touch()


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
